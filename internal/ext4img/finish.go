package ext4img

import (
	"fmt"
	"maps"
	"slices"
)

// Finish writes the rest: folders, tables and bitmaps. size is the
// filesystem's in bytes, rounded down to whole blocks; 0 sizes it to need,
// with a quarter and at least 64 MiB to spare. label is at most 16 bytes. It
// returns the size. The Writer cannot be used afterwards.
func (w *Writer) Finish(size int64, label string) (int64, error) {
	nodes := w.number()
	used := &usage{}
	for _, n := range nodes {
		if err := w.finishNode(n, used); err != nil {
			return 0, err
		}
	}
	l, err := w.layout(size, uint32(len(nodes)))
	if err != nil {
		return 0, err
	}
	l.label = label
	l.used = used
	if err := w.writeLayout(l, nodes); err != nil {
		return 0, err
	}
	if err := w.out.flush(); err != nil {
		return 0, err
	}
	total := int64(l.blocks) * blockSize
	return total, w.out.f.Truncate(total)
}

// number gives every file that is still there its inode number and its number
// of names. Folders come before what is in them.
func (w *Writer) number() []*node {
	w.root.inode, w.root.links = inodeRoot, 2
	w.lostFnd.inode, w.lostFnd.links = inodeLostFound, 2
	w.root.children[lostFound] = child{node: w.lostFnd}
	w.root.links++
	nodes := []*node{w.root, w.lostFnd}
	folders := []*node{w.root}
	for len(folders) > 0 {
		dir := folders[0]
		folders = folders[1:]
		for _, name := range slices.Sorted(maps.Keys(dir.children)) {
			n := dir.children[name].node
			switch {
			case n == w.lostFnd:
				folders = append(folders, n)
				continue
			case n.inode != 0:
				n.links++
				continue
			}
			n.inode, n.links = uint32(len(nodes)-2+inodeFirstFree), 1
			nodes = append(nodes, n)
			if n.isDir() {
				n.links = 2
				dir.links++
				folders = append(folders, n)
			}
		}
	}
	for _, dir := range nodes {
		if dir.isDir() {
			dir.setParents()
		}
	}
	return nodes
}

// setParents tells each folder in n its parent.
func (n *node) setParents() {
	for _, c := range n.children {
		if c.node.isDir() {
			c.node.parent = n.inode
		}
	}
}

// usage collects the blocks that are in use.
type usage struct {
	runs []extent // logical has no meaning
}

func (u *usage) add(start, length uint32) {
	u.runs = append(u.runs, extent{physical: start, length: length})
}

// finishNode writes a folder's entries and a file's extents, and notes all
// that n uses.
func (w *Writer) finishNode(n *node, used *usage) error {
	if n.isDir() {
		if err := w.writeFolder(n); err != nil {
			return err
		}
	}
	if n.xattrBlock != 0 {
		used.add(n.xattrBlock, 1)
		n.sector += sectorsPerBlock
	}
	switch {
	case n.isSymlink() && n.size < inodeBlockSize:
		copy(n.block[:], n.target)
		return nil
	case !n.hasExtents():
		n.putDevice()
		return nil
	}
	for _, e := range n.extents {
		used.add(e.physical, e.length)
	}
	blocks, err := w.mapExtents(n)
	for _, b := range blocks {
		used.add(b, 1)
	}
	n.extents = nil
	return err
}

// hasExtents tells if n.block holds an extent tree.
func (n *node) hasExtents() bool {
	switch n.mode & modeType {
	case modeRegular, modeDir:
		return true
	case modeSymlink:
		return n.size >= inodeBlockSize
	}
	return false
}

// writeFolder writes the entries of n, which knows its parent.
func (w *Writer) writeFolder(n *node) error {
	if n.parent == 0 {
		n.parent = n.inode // the root
	}
	b := folderBlock{}
	logical := uint32(0)
	put := func(inode uint32, name string, kind byte) error {
		if b.add(inode, name, kind) {
			return nil
		}
		b.close()
		if err := w.append(n, logical, b.data[:]); err != nil {
			return err
		}
		logical++
		b = folderBlock{}
		b.add(inode, name, kind)
		return nil
	}
	b.add(n.inode, ".", 2)
	b.add(n.parent, "..", 2)
	for _, name := range slices.Sorted(maps.Keys(n.children)) {
		c := n.children[name].node
		if err := put(c.inode, name, entryType(c.mode)); err != nil {
			return fmt.Errorf("folder with %.100q: %w", name, err)
		}
	}
	b.close()
	n.size = int64(logical+1) * blockSize
	n.children = nil
	return w.append(n, logical, b.data[:])
}

// folderBlock is one block of a folder.
type folderBlock struct {
	data      [blockSize]byte
	last, end int // where the last entry begins, and where the next would
}

// add appends an entry; false when it does not fit.
func (b *folderBlock) add(inode uint32, name string, kind byte) bool {
	length := (8 + len(name) + 3) &^ 3
	if b.end+length > blockSize {
		return false
	}
	entry := b.data[b.end:]
	le.PutUint32(entry, inode)
	le.PutUint16(entry[4:], uint16(length))
	entry[6], entry[7] = byte(len(name)), kind
	copy(entry[8:], name)
	b.last, b.end = b.end, b.end+length
	return true
}

// close stretches the last entry to the end of the block.
func (b *folderBlock) close() {
	le.PutUint16(b.data[b.last+4:], uint16(blockSize-b.last))
}
