package ext4img

import "math/bits"

func zeroBits(v uint64) int { return 64 - bits.OnesCount64(v) }

// superSize is the superblock's; it lies 1024 bytes into group 0, and at the
// start of other groups.
const superSize = 1024

// writeCopies writes superblock and descriptors into group 0 and wherever else
// copies belong.
func (w *Writer) writeCopies(l *layout, descriptors []byte, freeBlocks uint32) error {
	for g := range l.groups {
		if !hasCopy(g) {
			continue
		}
		var block [blockSize]byte
		at := 0
		if g == 0 {
			at = superSize
		}
		w.putSuper(block[at:at+superSize], l, g, freeBlocks)
		if err := w.out.writeBlock(g*groupSize, block[:]); err != nil {
			return err
		}
		for i := uint32(0); i*blockSize < uint32(len(descriptors)); i++ {
			if err := w.out.writeBlock(g*groupSize+1+i, descriptors[i*blockSize:(i+1)*blockSize]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *Writer) putSuper(s []byte, l *layout, group, freeBlocks uint32) {
	now := uint32(w.limits.Now.Unix())
	inodes := l.inodesPerGroup * l.groups
	for at, value := range map[int]uint32{
		0x00: inodes, 0x04: l.blocks, 0x0C: freeBlocks, 0x10: inodes - l.inodes,
		0x18: 2, 0x1C: 2, // blocks of 1024<<2 bytes
		0x20: groupSize, 0x24: groupSize, 0x28: l.inodesPerGroup,
		0x30: now, 0x40: now, 0x108: now, // written, checked, made
		0x4C:  1, // revision: inodes have a size
		0x54:  inodeLostFound,
		0x5C:  compatXattr | compatDirIndex,
		0x60:  incompatFileType | incompatExtents | incompatFlexBG,
		0x64:  roSparseSuper | roLargeFile | roHugeFile | roDirNlink | roExtraSize,
		0x100: 0xC, // user attributes and access control lists
		0x160: 2,   // folder hashes are of unsigned characters
	} {
		le.PutUint32(s[at:], value)
	}
	for at, value := range map[int]uint16{
		0x36: 0xffff,                   // never checked for being mounted often
		0x38: 0xEF53, 0x3A: 1, 0x3C: 1, // magic; clean; go on after errors
		0x58: inodeSize, 0x5A: uint16(group),
		0x15C: extraSize, 0x15E: extraSize,
	} {
		le.PutUint16(s[at:], value)
	}
	copy(s[0x68:0x78], l.id[:])
	copy(s[0x78:0x88], l.label)
	copy(s[0xEC:0xFC], l.id[:]) // seed of folder hashes
	s[0xFC] = 1                 // half of MD4
	s[0x174] = 4                // 16 groups share their tables' place
	s[0x175] = 1                // checksums would be CRC-32C, were there any
	if l.journal != nil {
		le.PutUint32(s[0x5C:], compatXattr|compatDirIndex|compatJournal)
		le.PutUint32(s[0xE0:], inodeJournal)
		s[0xFD] = 1 // a copy of the journal's inode follows
		copy(s[0x10C:], l.journal.block[:])
		le.PutUint32(s[0x10C+60:], uint32(l.journal.size>>32))
		le.PutUint32(s[0x10C+64:], uint32(l.journal.size))
	}
}
