package ext4img

import (
	"encoding/binary"
	"time"
)

var le = binary.LittleEndian

// putDevice fills in the number of a device (new_encode_dev of
// linux/kdev_t.h; small numbers in the old form, which stands first).
func (n *node) putDevice() {
	switch {
	case n.mode&modeType != modeChar && n.mode&modeType != modeBlock:
	case n.major < 256 && n.minor < 256:
		le.PutUint32(n.block[0:], n.major<<8|n.minor)
	default:
		le.PutUint32(n.block[4:], n.minor&0xff|n.major<<8|(n.minor&^0xff)<<12)
	}
}

// put writes n's inode into to, which has inodeSize zero bytes.
func (n *node) put(to []byte) {
	links := n.links
	if n.isDir() && links > maxLinks {
		links = 1 // "too many to count"
	}
	le.PutUint16(to[0x00:], n.mode)
	le.PutUint16(to[0x02:], uint16(n.uid))
	le.PutUint32(to[0x04:], uint32(n.size))
	le.PutUint16(to[0x18:], uint16(n.gid))
	le.PutUint16(to[0x1A:], uint16(links))
	le.PutUint32(to[0x1C:], uint32(n.sector))
	if n.hasExtents() {
		le.PutUint32(to[0x20:], flagExtents)
	}
	copy(to[0x28:], n.block[:])
	le.PutUint32(to[0x68:], n.xattrBlock)
	le.PutUint32(to[0x6C:], uint32(n.size>>32))
	le.PutUint16(to[0x74:], uint16(n.sector>>32))
	le.PutUint16(to[0x78:], uint16(n.uid>>16))
	le.PutUint16(to[0x7A:], uint16(n.gid>>16))
	le.PutUint16(to[0x80:], extraSize)
	putTime(to, 0x08, 0x8C, n.atime)
	putTime(to, 0x0C, 0x84, n.ctime)
	putTime(to, 0x10, 0x88, n.mtime)
	putTime(to, 0x90, 0x94, n.mtime) // birth
	copy(to[128+extraSize:], n.xattrs)
}

// The times that 34 bits can tell, in seconds.
const (
	earliest = -1 << 31
	latest   = 1<<34 - 1<<31 - 1
)

// putTime writes t at low, with its nanoseconds and its higher seconds at
// high.
func putTime(to []byte, low, high int, t time.Time) {
	seconds := min(max(t.Unix(), earliest), latest)
	le.PutUint32(to[low:], uint32(seconds))
	epoch := uint32((seconds - int64(int32(seconds))) >> 32)
	le.PutUint32(to[high:], epoch&3|uint32(t.Nanosecond())<<2)
}
