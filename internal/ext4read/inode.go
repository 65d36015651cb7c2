package ext4read

import (
	"encoding/binary"
	"io/fs"
	"math"
	"time"
)

// Bits of i_flags.
const (
	flagEncrypted = 0x800
	flagExtents   = 0x80000
	flagInline    = 0x10000000
)

// inlineSize is the room in an inode for its blocks' numbers, or for data.
const inlineSize = 60

// Inode is one file.
type Inode struct {
	// Number is the inode's; two names with the same are hard links.
	Number uint32
	// Mode is the type and the permissions.
	Mode     fs.FileMode
	UID, GID uint32
	Links    uint16
	// Size is in bytes; holes count.
	Size    int64
	ModTime time.Time
	// Major and Minor are a device's numbers.
	Major, Minor uint32

	flags uint32
	block [inlineSize]byte
}

// inode reads an inode by its number.
func (f *FS) inode(number uint32) (*Inode, error) {
	if number == 0 || number > f.inodes {
		return nil, damaged("inode %d of %d", number, f.inodes)
	}
	group, index := (number-1)/f.inodesPerGroup, (number-1)%f.inodesPerGroup
	table, err := f.inodeTable(group)
	if err != nil {
		return nil, err
	}
	b := make([]byte, f.inodeSize)
	if _, err := readFull(f.r, b, table+int64(index)*f.inodeSize); err != nil {
		return nil, err
	}
	return parseInode(number, b)
}

// inodeTable is the offset in the image of a group's inodes.
func (f *FS) inodeTable(group uint32) (int64, error) {
	b := make([]byte, f.descriptorSize)
	if _, err := readFull(f.r, b, f.descriptors+int64(group)*f.descriptorSize); err != nil {
		return 0, err
	}
	block := uint64(le32(b, 0x08))
	if f.wide {
		block |= uint64(le32(b, 0x28)) << 32
	}
	if block == 0 || block >= f.blocks {
		return 0, damaged("the inodes of group %d are at block %d of %d", group, block, f.blocks)
	}
	return int64(block) * f.blockSize, nil
}

func parseInode(number uint32, b []byte) (*Inode, error) {
	raw := le16(b, 0x00)
	size := uint64(le32(b, 0x04)) | uint64(le32(b, 0x6C))<<32
	n := &Inode{
		Number:  number,
		Mode:    fileMode(raw),
		UID:     uint32(le16(b, 0x02)) | uint32(le16(b, 0x78))<<16,
		GID:     uint32(le16(b, 0x18)) | uint32(le16(b, 0x7A))<<16,
		Links:   le16(b, 0x1A),
		ModTime: modTime(b),
		flags:   le32(b, 0x20),
	}
	copy(n.block[:], b[0x28:])
	if size > math.MaxInt64/2 {
		return nil, damaged("inode %d has the size %d", number, size)
	}
	n.Size = int64(size)
	if n.Mode&fs.ModeDevice != 0 {
		n.Major, n.Minor = device(n.block[:])
	}
	return n, nil
}

// modTime is i_mtime with the upper bits that bigger inodes have.
func modTime(b []byte) time.Time {
	seconds, nanoseconds := int64(int32(le32(b, 0x10))), int64(0)
	if len(b) >= 0x8C && le16(b, 0x80) >= 0x8C-0x80 {
		extra := le32(b, 0x88)
		seconds += int64(extra&3) << 32
		nanoseconds = int64(extra>>2) % 1e9
	}
	return time.Unix(seconds, nanoseconds)
}

// device decodes a device's numbers, in the old format of 16 bits or in the
// new one of 32.
func device(block []byte) (major, minor uint32) {
	if old := le32(block, 0); old != 0 {
		return old >> 8 & 0xff, old & 0xff
	}
	v := le32(block, 4)
	return v >> 8 & 0xfff, v&0xff | v>>12&0xfff00
}

// fileMode translates i_mode, which is stat(2)'s.
func fileMode(raw uint16) fs.FileMode {
	mode := fs.FileMode(raw & 0o777)
	switch raw & 0xF000 {
	case 0x8000:
	case 0x4000:
		mode |= fs.ModeDir
	case 0xA000:
		mode |= fs.ModeSymlink
	case 0x6000:
		mode |= fs.ModeDevice
	case 0x2000:
		mode |= fs.ModeDevice | fs.ModeCharDevice
	case 0x1000:
		mode |= fs.ModeNamedPipe
	case 0xC000:
		mode |= fs.ModeSocket
	default:
		mode |= fs.ModeIrregular
	}
	for bit, m := range map[uint16]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if raw&bit != 0 {
			mode |= m
		}
	}
	return mode
}

// pointer is the i-th block number of a block of them.
func pointer(b []byte, i int64) uint64 { return uint64(binary.LittleEndian.Uint32(b[4*i:])) }
