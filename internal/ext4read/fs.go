// Package ext4read reads ext2, ext3 and ext4 file systems in images that may
// be hostile: every number from the image is checked before it is used, memory
// is bounded by the block size, and a link is resolved inside the image. It
// never writes, replays no journal, and knows nothing of the host's files.
//
// The format is described in Linux's Documentation/filesystems/ext4.
package ext4read

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

var (
	// ErrNotExt4 says that an image holds no such file system.
	ErrNotExt4 = errors.New("not an ext2, ext3 or ext4 file system")
	// ErrDamaged says that a file system contradicts itself.
	ErrDamaged = errors.New("damaged file system")
	// ErrUnsupported says that it has a feature this package lacks.
	ErrUnsupported = errors.New("unsupported ext4 feature")
)

const (
	superblockOffset = 1024
	superblockSize   = 1024
	superblockMagic  = 0xEF53
	maxLogBlockSize  = 6 // 64 KiB
	rootInode        = 2
	maxInodeSize     = 64 << 10
)

// Bits of s_feature_incompat.
const (
	incompatRecover    = 0x4
	incompat64Bit      = 0x80
	incompatEncrypt    = 0x10000
	incompatUnderstood = 0x2 | incompatRecover | 0x40 | incompat64Bit | 0x100 | 0x200 | 0x400 | 0x2000 | 0x4000 | 0x8000 | incompatEncrypt | 0x20000
)

// FS is an open file system. It keeps nothing that changes, so that it is safe
// for concurrent use as far as its reader is.
type FS struct {
	r              io.ReaderAt
	blockSize      int64
	blocks         uint64
	inodes         uint32
	inodesPerGroup uint32
	inodeSize      int64
	descriptors    int64 // their offset in the image
	descriptorSize int64
	wide           bool // descriptors have 64 bits
	needsRecovery  bool
}

// Open reads the superblock of an image of size bytes.
func Open(r io.ReaderAt, size int64) (*FS, error) {
	b := make([]byte, superblockSize)
	if size < superblockOffset+superblockSize {
		return nil, ErrNotExt4
	}
	if _, err := readFull(r, b, superblockOffset); err != nil {
		return nil, err
	}
	if le16(b, 0x38) != superblockMagic {
		return nil, ErrNotExt4
	}
	return parseSuperblock(r, b, size)
}

func parseSuperblock(r io.ReaderAt, b []byte, size int64) (*FS, error) {
	incompat := le32(b, 0x60)
	if unknown := incompat &^ incompatUnderstood; unknown != 0 && le32(b, 0x4C) > 0 {
		return nil, fmt.Errorf("%w: incompatible features %#x", ErrUnsupported, unknown)
	}
	logBlockSize := le32(b, 0x18)
	if logBlockSize > maxLogBlockSize {
		return nil, damaged("block size 2^%d KiB", logBlockSize)
	}
	f := &FS{
		r:              r,
		blockSize:      1024 << logBlockSize,
		blocks:         uint64(le32(b, 0x04)),
		inodes:         le32(b, 0x00),
		inodesPerGroup: le32(b, 0x28),
		inodeSize:      128,
		descriptorSize: 32,
		needsRecovery:  incompat&incompatRecover != 0,
	}
	if le32(b, 0x4C) > 0 { // s_rev_level: the sizes may vary
		f.inodeSize = int64(le16(b, 0x58))
	}
	if incompat&incompat64Bit != 0 {
		f.wide = true
		f.descriptorSize = int64(le16(b, 0xFE))
		f.blocks |= uint64(le32(b, 0x150)) << 32
	}
	f.descriptors = (int64(le32(b, 0x14)) + 1) * f.blockSize
	return f, f.check(size)
}

// check refuses what later arithmetic would trip over.
func (f *FS) check(size int64) error {
	switch {
	case f.inodeSize < 128 || f.inodeSize > maxInodeSize || f.inodeSize > f.blockSize || f.inodeSize&(f.inodeSize-1) != 0:
		return damaged("inode size %d", f.inodeSize)
	case f.inodes < rootInode || f.inodesPerGroup == 0:
		return damaged("%d inodes, %d a group", f.inodes, f.inodesPerGroup)
	case f.wide && (f.descriptorSize < 64 || f.descriptorSize > 1024):
		return damaged("group descriptors of %d bytes", f.descriptorSize)
	case f.blocks == 0 || f.blocks > uint64(math.MaxInt64)/uint64(f.blockSize):
		return damaged("%d blocks", f.blocks)
	case f.descriptors >= size:
		return damaged("group descriptors beyond the image")
	}
	return nil
}

// NeedsRecovery says that the file system was not unmounted: what its journal
// holds is missing from what is read.
func (f *FS) NeedsRecovery() bool { return f.needsRecovery }

// Size is the file system's length in bytes.
func (f *FS) Size() int64 { return int64(f.blocks) * f.blockSize }

// readBlock reads the block n of the file system into b, of one block.
func (f *FS) readBlock(b []byte, n uint64) error {
	if n == 0 || n >= f.blocks {
		return damaged("block %d of %d", n, f.blocks)
	}
	_, err := readFull(f.r, b, int64(n)*f.blockSize)
	return err
}

// readFull fails on an image that is cut short.
func readFull(r io.ReaderAt, b []byte, offset int64) (int, error) {
	n, err := r.ReadAt(b, offset)
	switch {
	case n == len(b):
		return n, nil
	case err == nil || errors.Is(err, io.EOF):
		return n, damaged("the image ends before byte %d", offset+int64(len(b)))
	default:
		return n, err
	}
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrDamaged}, args...)...)
}

func le16(b []byte, at int) uint16 { return binary.LittleEndian.Uint16(b[at:]) }

func le32(b []byte, at int) uint32 { return binary.LittleEndian.Uint32(b[at:]) }
