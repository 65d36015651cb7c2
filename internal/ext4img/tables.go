package ext4img

import "encoding/binary"

// writeLayout writes journal, inodes, bitmaps, descriptors and superblocks.
func (w *Writer) writeLayout(l *layout, nodes []*node) error {
	if err := w.writeJournal(l); err != nil {
		return err
	}
	if err := w.writeInodes(l, nodes); err != nil {
		return err
	}
	bitmap := l.blockBitmap()
	folders := make([]uint16, l.groups)
	for _, n := range nodes {
		if n.isDir() {
			folders[(n.inode-1)/l.inodesPerGroup]++
		}
	}
	descriptors := make([]byte, descriptorBlocks(l.groups)*blockSize)
	var free uint32
	for g := range l.groups {
		part := bitmap[g*blockSize : (g+1)*blockSize]
		freeBlocks, freeInodes := countZero(part), l.freeInodes(g)
		free += freeBlocks
		if err := w.out.writeBlock(l.bitmaps[2*g], part); err != nil {
			return err
		}
		if err := w.out.writeBlock(l.bitmaps[2*g+1], inodeBitmap(l.inodesPerGroup-freeInodes, l.inodesPerGroup)); err != nil {
			return err
		}
		d := descriptors[g*descriptorSize:]
		le.PutUint32(d[0:], l.bitmaps[2*g])
		le.PutUint32(d[4:], l.bitmaps[2*g+1])
		le.PutUint32(d[8:], l.tables[g])
		le.PutUint16(d[12:], uint16(freeBlocks))
		le.PutUint16(d[14:], uint16(freeInodes))
		le.PutUint16(d[16:], folders[g])
	}
	if err := w.punch(bitmap); err != nil {
		return err
	}
	return w.writeCopies(l, descriptors, free)
}

// writeJournal writes the journal's own superblock (fs/jbd2; big-endian).
func (w *Writer) writeJournal(l *layout) error {
	if l.journal == nil {
		return nil
	}
	first := l.journal.extents[0].physical
	var data [blockSize]byte
	for at, value := range map[int]uint32{
		0x00: 0xC03B3998, 0x04: 4, // superblock, version 2
		0x0C: blockSize, 0x10: uint32(l.journal.size / blockSize),
		0x14: 1, 0x18: 1, // first block of the log, first commit
		0x40: 1, // users
	} {
		binary.BigEndian.PutUint32(data[at:], value)
	}
	copy(data[0x30:], l.id[:])
	for _, e := range l.journal.extents {
		l.used.add(e.physical, e.length)
	}
	tree, err := w.mapExtents(l.journal)
	for _, b := range tree {
		l.used.add(b, 1)
	}
	if err != nil {
		return err
	}
	return w.out.writeBlock(first, data[:])
}

// writeInodes writes the used part of the inode tables.
func (w *Writer) writeInodes(l *layout, nodes []*node) error {
	put := func(n *node) error {
		var data [inodeSize]byte
		n.put(data[:])
		group, index := (n.inode-1)/l.inodesPerGroup, (n.inode-1)%l.inodesPerGroup
		return w.out.write(int64(l.tables[group])*blockSize+int64(index)*inodeSize, data[:])
	}
	if l.journal != nil {
		l.journal.inode = inodeJournal
		if err := put(l.journal); err != nil {
			return err
		}
	}
	for _, n := range nodes {
		if err := put(n); err != nil {
			return err
		}
	}
	return nil
}

// freeInodes counts those of one group.
func (l *layout) freeInodes(group uint32) uint32 {
	first := group * l.inodesPerGroup
	if l.inodes <= first {
		return l.inodesPerGroup
	}
	return l.inodesPerGroup - min(l.inodesPerGroup, l.inodes-first)
}

// inodeBitmap has the first used bits set, and those behind all.
func inodeBitmap(used, all uint32) []byte {
	b := make([]byte, blockSize)
	setBits(b, 0, used)
	setBits(b, all, groupSize-all)
	return b
}

// blockBitmap is that of all groups in a row.
func (l *layout) blockBitmap() []byte {
	b := make([]byte, int(l.groups)*blockSize)
	for g := range l.groups {
		if hasCopy(g) {
			setBits(b, g*groupSize, 1+descriptorBlocks(l.groups))
		}
		setBits(b, l.bitmaps[2*g], 1)
		setBits(b, l.bitmaps[2*g+1], 1)
		setBits(b, l.tables[g], l.inodesPerGroup/inodesPerBlock)
	}
	for _, run := range l.used.runs {
		setBits(b, run.physical, run.length)
	}
	setBits(b, l.blocks, l.groups*groupSize-l.blocks)
	return b
}

func setBits(b []byte, from, count uint32) {
	for i := from; i < from+count; {
		if i%8 == 0 && from+count-i >= 8 {
			b[i/8] = 0xff
			i += 8
			continue
		}
		b[i/8] |= 1 << (i % 8)
		i++
	}
}

func countZero(b []byte) uint32 {
	var n uint32
	for i := 0; i < len(b); i += 8 {
		n += uint32(zeroBits(binary.LittleEndian.Uint64(b[i:])))
	}
	return n
}
