package ext4img

import (
	"bytes"

	"fmt"
	"io"
)

// holeSize is the smallest run of zero bytes that is left out of a file.
const holeSize = 64 << 10

var zeros [holeSize]byte

// content writes size bytes of r as the content of n.
func (w *Writer) content(n *node, size int64, r io.Reader) error {
	if size < 0 || size > w.limits.MaxSize-w.apparent {
		return fmt.Errorf("with its %d bytes the files exceed %d bytes: %w", size, w.limits.MaxSize, ErrLimit)
	}
	w.apparent += size
	n.size = size
	for at := int64(0); at < size; {
		part := w.chunk[:min(holeSize, size-at)]
		if _, err := io.ReadFull(r, part); err != nil {
			return fmt.Errorf("its content: %w", err)
		}
		if !bytes.Equal(part, zeros[:len(part)]) {
			if err := w.append(n, uint32(at/blockSize), part); err != nil {
				return err
			}
		}
		at += int64(len(part))
	}
	return nil
}

// append writes data, padded to whole blocks, at block logical of n, which is
// behind all that was written before.
func (w *Writer) append(n *node, logical uint32, data []byte) error {
	for len(data) > 0 {
		start, got, err := w.space.take(blocksOf(len(data)))
		if err != nil {
			return err
		}
		part := data[:min(len(data), int(got)*blockSize)]
		data = data[len(part):]
		if err := w.out.writeBlock(start, part); err != nil {
			return err
		}
		if padding := int(got)*blockSize - len(part); padding > 0 {
			if err := w.out.write(int64(start)*blockSize+int64(len(part)), zeros[:padding]); err != nil {
				return err
			}
		}
		n.addExtent(extent{logical, start, got})
		logical += got
	}
	return nil
}

// addExtent appends e, joined with the extent before where they touch.
func (n *node) addExtent(e extent) {
	if count := len(n.extents); count > 0 {
		last := &n.extents[count-1]
		if last.logical+last.length == e.logical && last.physical+last.length == e.physical && last.length+e.length <= maxExtent {
			last.length += e.length
			return
		}
	}
	n.extents = append(n.extents, e)
}

func blocksOf(size int) uint32 { return uint32((size + blockSize - 1) / blockSize) }

// An extent tree's entries and headers have 12 bytes each.
const (
	extentEntry    = 12
	extentsInInode = inodeBlockSize/extentEntry - 1
	extentsInBlock = blockSize/extentEntry - 1
)

// mapExtents fills n.block with the tree of n's extents, writes the tree's
// blocks, and returns these.
func (w *Writer) mapExtents(n *node) ([]uint32, error) {
	var used []uint32
	level := make([][extentEntry]byte, len(n.extents))
	for i, e := range n.extents {
		le.PutUint32(level[i][0:], e.logical)
		le.PutUint16(level[i][4:], uint16(e.length))
		le.PutUint32(level[i][8:], e.physical)
		n.sector += uint64(e.length) * sectorsPerBlock
	}
	depth := uint16(0)
	for ; len(level) > extentsInInode; depth++ {
		var above [][extentEntry]byte
		for len(level) > 0 {
			part := level[:min(extentsInBlock, len(level))]
			level = level[len(part):]
			block, err := w.space.takeRow(1)
			if err != nil {
				return nil, err
			}
			var data [blockSize]byte
			putExtentNode(data[:], part, extentsInBlock, depth)
			if err := w.out.writeBlock(block, data[:]); err != nil {
				return nil, err
			}
			used = append(used, block)
			var index [extentEntry]byte
			copy(index[:4], part[0][:4])
			le.PutUint32(index[4:], block)
			above = append(above, index)
		}
		level = above
	}
	putExtentNode(n.block[:], level, extentsInInode, depth)
	n.sector += uint64(len(used)) * sectorsPerBlock
	return used, nil
}

func putExtentNode(to []byte, entries [][extentEntry]byte, room, depth uint16) {
	le.PutUint16(to[0:], extentMagic)
	le.PutUint16(to[2:], uint16(len(entries)))
	le.PutUint16(to[4:], room)
	le.PutUint16(to[6:], depth)
	for i, e := range entries {
		copy(to[(i+1)*extentEntry:], e[:])
	}
}
