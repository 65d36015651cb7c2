package ext4img

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// paxXattr is the prefix of extended attributes in PAX records.
const paxXattr = "SCHILY.xattr."

const (
	xattrMagic       = 0xEA020000
	xattrEntry       = 16 // without the name
	xattrBlockHeader = 32
	xattrInInode     = inodeSize - 128 - extraSize - 4 // behind its magic
)

// xattrSpaces are the numbers of the name spaces; the first that fits counts.
var xattrSpaces = []struct {
	prefix string
	index  byte
}{
	{"system.posix_acl_access", 2},
	{"system.posix_acl_default", 3},
	{"user.", 1},
	{"trusted.", 4},
	{"security.", 6},
}

type xattr struct {
	index byte
	name  string // without its prefix
	value []byte
}

func (x xattr) size() int { return (len(x.name)+3)&^3 + xattrEntry + (len(x.value)+3)&^3 }

// setXattrs puts the extended attributes of PAX records into the inode as far
// as they fit and else into a block, written at once. Names that Linux would
// not take are left out.
func (w *Writer) setXattrs(n *node, records map[string]string) error {
	n.xattrs, n.xattrBlock = nil, 0
	var inside, outside []xattr
	roomInside, roomOutside := xattrInInode-4, blockSize-xattrBlockHeader-4
	for _, key := range slices.Sorted(maps.Keys(records)) {
		name, found := strings.CutPrefix(key, paxXattr)
		if !found {
			continue
		}
		x, known, err := parseXattr(name, []byte(records[key]))
		if err != nil {
			return fmt.Errorf("extended attribute %.100q: %w", name, err)
		}
		switch {
		case !known:
		case x.size() <= roomInside:
			inside, roomInside = append(inside, x), roomInside-x.size()
		case x.size() <= roomOutside:
			outside, roomOutside = append(outside, x), roomOutside-x.size()
		default:
			return fmt.Errorf("extended attribute %.100q: those of one file have more than %d bytes", name, blockSize)
		}
	}
	if len(inside) > 0 {
		n.xattrs = make([]byte, 4+xattrInInode)
		binary.LittleEndian.PutUint32(n.xattrs, xattrMagic)
		putXattrs(n.xattrs[4:], inside, 0)
	}
	if len(outside) == 0 {
		return nil
	}
	return w.writeXattrBlock(n, outside)
}

func (w *Writer) writeXattrBlock(n *node, list []xattr) error {
	slices.SortFunc(list, func(a, b xattr) int {
		return cmp.Or(cmp.Compare(a.index, b.index), cmp.Compare(len(a.name), len(b.name)), cmp.Compare(a.name, b.name))
	})
	block, err := w.space.takeRow(1)
	if err != nil {
		return err
	}
	var data [blockSize]byte
	binary.LittleEndian.PutUint32(data[0:], xattrMagic)
	binary.LittleEndian.PutUint32(data[4:], 1) // references
	binary.LittleEndian.PutUint32(data[8:], 1) // blocks
	hash := putXattrs(data[xattrBlockHeader:], list, xattrBlockHeader)
	binary.LittleEndian.PutUint32(data[12:], hash)
	n.xattrBlock = block
	return w.out.writeBlock(block, data[:])
}

// putXattrs writes entries from the front and values from the end of to, whose
// first byte has offset base for the entries. It returns the block's hash.
func putXattrs(to []byte, list []xattr, base int) uint32 {
	var blockHash uint32
	front, end := 0, len(to)
	for _, x := range list {
		end -= (len(x.value) + 3) &^ 3
		copy(to[end:], x.value)
		entry := to[front:]
		entry[0], entry[1] = byte(len(x.name)), x.index
		binary.LittleEndian.PutUint16(entry[2:], uint16(end+base))
		binary.LittleEndian.PutUint32(entry[8:], uint32(len(x.value)))
		hash := xattrHash(x)
		binary.LittleEndian.PutUint32(entry[12:], hash)
		copy(entry[xattrEntry:], x.name)
		front += (len(x.name)+3)&^3 + xattrEntry
		blockHash = blockHash<<16 ^ blockHash>>16 ^ hash
	}
	return blockHash
}

// xattrHash is ext4_xattr_hash_entry of fs/ext4/xattr.c.
func xattrHash(x xattr) uint32 {
	var hash uint32
	for _, c := range []byte(x.name) {
		hash = hash<<5 ^ hash>>27 ^ uint32(c)
	}
	padded := make([]byte, (len(x.value)+3)&^3)
	copy(padded, x.value)
	for ; len(padded) > 0; padded = padded[4:] {
		hash = hash<<16 ^ hash>>16 ^ binary.LittleEndian.Uint32(padded)
	}
	return hash
}

// parseXattr finds an attribute's name space; known is false for none.
func parseXattr(name string, value []byte) (x xattr, known bool, err error) {
	for _, s := range xattrSpaces {
		rest, found := strings.CutPrefix(name, s.prefix)
		if !found {
			continue
		}
		isACL := s.index == 2 || s.index == 3
		if isACL && rest != "" || !isACL && rest == "" {
			return xattr{}, false, nil
		}
		if len(rest) > maxName {
			return xattr{}, false, fmt.Errorf("its name has more than %d bytes", maxName)
		}
		if isACL {
			value, err = convertACL(value)
		}
		return xattr{s.index, rest, value}, err == nil, err
	}
	return xattr{}, false, nil
}

// convertACL turns an access control list as programs see it (version 2,
// linux/posix_acl_xattr.h) into ext4's own form (version 1, fs/ext4/acl.h).
func convertACL(value []byte) ([]byte, error) {
	if len(value) < 4 || len(value)%8 != 4 || binary.LittleEndian.Uint32(value) != 2 {
		return nil, errors.New("not an access control list of version 2")
	}
	out := []byte{1, 0, 0, 0}
	for rest := value[4:]; len(rest) > 0; rest = rest[8:] {
		switch tag := binary.LittleEndian.Uint16(rest); tag {
		case 0x02, 0x08: // a user or group by its number
			out = append(out, rest[:8]...)
		case 0x01, 0x04, 0x10, 0x20:
			out = append(out, rest[:4]...)
		default:
			return nil, fmt.Errorf("access control list with the unknown tag %d", tag)
		}
	}
	return out, nil
}
