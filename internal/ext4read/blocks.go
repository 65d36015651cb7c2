package ext4read

// run is a piece of a file: count blocks from the file's block first on, which
// stand from the file system's block start on; start 0 is a hole.
type run struct {
	first, count, start uint64
}

// maxDepth bounds an extent tree (EXT4_MAX_EXTENT_DEPTH).
const maxDepth = 5

const (
	extentMagic  = 0xF30A
	extentHeader = 12
	extentEntry  = 12
	// maxWritten is the longest extent that holds data: a longer one is
	// allocated, but reads as zero.
	maxWritten = 1 << 15
	// fileBlocks is how many blocks a file may have.
	fileBlocks = 1 << 32
)

// runAt finds the run of inode n that holds the file's block at.
func (f *FS) runAt(n *Inode, at uint64) (run, error) {
	if at >= fileBlocks {
		return run{}, damaged("inode %d has the size %d", n.Number, n.Size)
	}
	if n.flags&flagExtents != 0 {
		return f.extentAt(n, at)
	}
	return f.pointerAt(n, at)
}

// extentAt goes down the extent tree.
func (f *FS) extentAt(n *Inode, at uint64) (run, error) {
	node := n.block[:]
	end := uint64(fileBlocks) // the first block that another branch holds
	for depth := -1; ; {
		entries, nodeDepth, err := parseNode(node)
		if err != nil {
			return run{}, err
		}
		if depth >= 0 && nodeDepth != depth-1 || nodeDepth > maxDepth {
			return run{}, damaged("the extent tree of inode %d has a node of depth %d below one of %d", n.Number, nodeDepth, depth)
		}
		depth = nodeDepth
		entry, next := search(entries, at, end)
		end = next
		if entry == nil {
			return run{at, end - at, 0}, nil
		}
		if depth == 0 {
			return f.leaf(entry, at, end)
		}
		child := make([]byte, f.blockSize)
		if err := f.readBlock(child, uint64(le32(entry, 4))|uint64(le16(entry, 8))<<32); err != nil {
			return run{}, err
		}
		node = child
	}
}

// parseNode is the entries of a node of the tree, and its depth.
func parseNode(node []byte) (entries []byte, depth int, err error) {
	count := int(le16(node, 2))
	if le16(node, 0) != extentMagic || extentHeader+count*extentEntry > len(node) {
		return nil, 0, damaged("a node of an extent tree with the magic %#x and %d entries", le16(node, 0), count)
	}
	return node[extentHeader : extentHeader+count*extentEntry], int(le16(node, 6)), nil
}

// search finds the last entry that begins at or before at, and where the one
// behind it begins, or end. The entries need not be in order: then some of the
// file is not found, and nothing worse.
func search(entries []byte, at, end uint64) (found []byte, next uint64) {
	next = end
	for ; len(entries) > 0; entries = entries[extentEntry:] {
		first := uint64(le32(entries, 0))
		if first > at {
			return found, min(next, first)
		}
		found = entries[:extentEntry]
	}
	return found, next
}

// leaf is the run of one extent, or the hole behind it.
func (f *FS) leaf(entry []byte, at, end uint64) (run, error) {
	first, count := uint64(le32(entry, 0)), uint64(le16(entry, 4))
	start := uint64(le32(entry, 8)) | uint64(le16(entry, 6))<<32
	written := count <= maxWritten
	if !written {
		count -= maxWritten
	}
	if at >= first+count {
		return run{at, end - at, 0}, nil
	}
	r := run{first: at, count: first + count - at}
	if !written {
		return r, nil
	}
	r.start = start + at - first
	if start == 0 || start >= f.blocks || count > f.blocks-start {
		return run{}, damaged("an extent of %d blocks at %d of %d", count, start, f.blocks)
	}
	return r, nil
}

// pointerAt is for the block maps of ext2 and ext3: twelve numbers, then one of
// a block of numbers, of a block of such blocks, and of a block of those.
func (f *FS) pointerAt(n *Inode, at uint64) (run, error) {
	const direct = 12
	if at < direct {
		return f.single(at, pointer(n.block[:], int64(at)))
	}
	perBlock := uint64(f.blockSize / 4)
	rest, span := at-direct, uint64(1)
	for level := int64(0); level < 3; level++ {
		span *= perBlock
		if rest >= span {
			rest -= span
			continue
		}
		return f.indirect(pointer(n.block[:], direct+level), at, rest, span)
	}
	return run{}, damaged("inode %d has no block %d", n.Number, at)
}

// indirect goes down from a block of numbers that covers span blocks.
func (f *FS) indirect(block, at, rest, span uint64) (run, error) {
	perBlock := uint64(f.blockSize / 4)
	b := make([]byte, f.blockSize)
	for {
		if block == 0 {
			return run{at, span - rest, 0}, nil
		}
		if err := f.readBlock(b, block); err != nil {
			return run{}, err
		}
		span /= perBlock
		block = pointer(b, int64(rest/span))
		rest %= span
		if span == 1 {
			return f.single(at, block)
		}
	}
}

// single is a run of one block.
func (f *FS) single(at, block uint64) (run, error) {
	if block >= f.blocks {
		return run{}, damaged("block %d of %d", block, f.blocks)
	}
	return run{at, 1, block}, nil
}
