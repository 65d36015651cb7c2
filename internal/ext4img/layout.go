package ext4img

import (
	"fmt"

	"github.com/google/uuid"
)

// layout is where everything of a finished filesystem lies.
type layout struct {
	blocks, groups  uint32
	inodesPerGroup  uint32
	inodes          uint32 // used, the reserved ones included
	journal         *node  // nil for none
	bitmaps, tables []uint32
	used            *usage
	id              uuid.UUID
	label           string
}

// layout decides the sizes and takes the blocks of the tables.
func (w *Writer) layout(size int64, files uint32) (*layout, error) {
	inodes := files - 2 + inodeFirstFree - 1
	blocks := uint32(0)
	if size == 0 {
		blocks = autoSize(w.space.next, inodes)
	} else if size >= minBlocks*blockSize && size <= LargestMaxSize {
		blocks = trimTail(uint32(size/blockSize), w.space.copySize)
	} else {
		return nil, fmt.Errorf("a filesystem of %d bytes: the size must be between %d and %d", size, minBlocks*blockSize, int64(LargestMaxSize))
	}
	if blocks > uint32(w.limits.MaxSize/blockSize) {
		return nil, fmt.Errorf("with room to spare the filesystem needs %d MiB, more than %d: %w", toMiB(blocks), w.limits.MaxSize>>20, ErrLimit)
	}
	l := &layout{blocks: blocks, groups: groupsOf(blocks), inodes: inodes}
	l.inodesPerGroup = inodesPerGroup(blocks, inodes)
	if l.inodesPerGroup > groupSize {
		return nil, fmt.Errorf("%d files do not fit into %d MiB: give it a larger size", files, toMiB(blocks))
	}
	var err error
	if l.id, err = uuid.NewRandom(); err != nil {
		return nil, err
	}
	w.space.end = blocks
	if err := w.takeTables(l); err != nil {
		return nil, fmt.Errorf("the image needs more than %d MiB, about %d: %w", toMiB(blocks), toMiB(autoSize(w.space.next, inodes)), err)
	}
	return l, nil
}

func (w *Writer) takeTables(l *layout) error {
	for range l.groups {
		block, err := w.space.takeRow(1)
		if err != nil {
			return err
		}
		inodes, err := w.space.takeRow(1)
		if err != nil {
			return err
		}
		l.bitmaps = append(l.bitmaps, block, inodes)
	}
	for range l.groups {
		table, err := w.space.takeRow(l.inodesPerGroup / inodesPerBlock)
		if err != nil {
			return err
		}
		l.tables = append(l.tables, table)
	}
	want := journalSize(l.blocks)
	if want == 0 {
		return nil
	}
	now := w.limits.Now
	l.journal = &node{mode: modeRegular | 0o600, links: 1, size: int64(want) * blockSize, atime: now, ctime: now, mtime: now}
	for logical := uint32(0); logical < want; {
		start, got, err := w.space.take(min(maxExtent, want-logical))
		if err != nil {
			return err
		}
		l.journal.addExtent(extent{logical, start, got})
		logical += got
	}
	return nil
}

// autoSize is the blocks of a filesystem whose contents end at block content,
// with room to spare.
func autoSize(content, inodes uint32) uint32 {
	total := uint64(content) + max(uint64(content)/4, 64<<20/blockSize) + minBlocks
	for range 4 { // the tables' size depends on the filesystem's
		b := uint32(min(total, LargestMaxSize/blockSize))
		tables := uint64(groupsOf(b)) * (2 + uint64(inodesPerGroup(b, inodes))/inodesPerBlock)
		copies := uint64(groupsOf(b)) / 4 * uint64(1+descriptorBlocks(groupsOf(b)))
		total = uint64(content) + max(uint64(content)/4, 64<<20/blockSize) + tables + copies + uint64(journalSize(b)) + 64
		total = max(total, (uint64(inodes)/groupSize+1)*groupSize)
	}
	const mib = 1 << 20 / blockSize
	total = (total + mib - 1) / mib * mib
	if tail := total % groupSize; tail != 0 && tail < 1024 {
		total += 1024
	}
	return uint32(min(total, LargestMaxSize/blockSize))
}

// trimTail leaves out a last group that would hold nothing but overhead.
func trimTail(blocks, copySize uint32) uint32 {
	if tail := blocks % groupSize; blocks > groupSize && tail < copySize+64 {
		return blocks - tail
	}
	return blocks
}

// inodesPerGroup is enough for half as many files again, and one for each 16
// KiB; whole blocks of the table.
func inodesPerGroup(blocks, inodes uint32) uint32 {
	want := max(uint64(blocks)/4, uint64(inodes)+uint64(inodes)/2)
	groups := uint64(groupsOf(blocks))
	each := (want/groups + inodesPerBlock) / inodesPerBlock * inodesPerBlock
	if each > groupSize && uint64(inodes) <= groups*groupSize {
		each = groupSize
	}
	return uint32(min(each, 1<<31))
}

// journalSize is mke2fs's choice, in blocks.
func journalSize(blocks uint32) uint32 {
	switch {
	case blocks < 2048:
		return 0
	case blocks < 32768:
		return 1024
	case blocks < 256*1024:
		return 4096
	case blocks < 512*1024:
		return 8192
	case blocks < 4096*1024:
		return 16384
	}
	return 32768
}

func toMiB(blocks uint32) uint64 { return (uint64(blocks)*blockSize + 1<<20 - 1) >> 20 }
