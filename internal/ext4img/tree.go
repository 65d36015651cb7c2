package ext4img

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Bounds of names.
const (
	maxName   = 255
	maxPath   = 4095
	maxFollow = 40 // symbolic links in one path, as in Linux
	lostFound = "lost+found"
)

// node is a file, folder, link or device.
type node struct {
	mode                uint16 // type and permissions, as on the disk
	uid, gid            uint32
	atime, ctime, mtime time.Time
	major, minor        uint32
	size                int64
	target              string // of a symbolic link
	children            map[string]child
	extents             []extent
	xattrs              []byte // those inside the inode
	xattrBlock          uint32 // 0 for none
	links               uint32 // extra names, counted anew by Finish

	// What Finish fills in.
	inode, parent uint32
	sector        uint64 // blocks used, in units of 512 bytes
	block         [inodeBlockSize]byte
}

// child is a name in a folder, and the layer that it comes from.
type child struct {
	node  *node
	layer int32
}

func (n *node) isDir() bool { return n.mode&modeType == modeDir }

func (n *node) isSymlink() bool { return n.mode&modeType == modeSymlink }

func (w *Writer) newFolder(perm uint16) *node {
	now := w.limits.Now
	return &node{mode: modeDir | perm, children: map[string]child{}, atime: now, ctime: now, mtime: now}
}

// splitName takes a name apart as tar does: a leading / means nothing, and ..
// is refused.
func splitName(name string) ([]string, error) {
	if len(name) > maxPath || strings.IndexByte(name, 0) >= 0 {
		return nil, fmt.Errorf("a name has at most %d bytes, and no zero byte", maxPath)
	}
	parts := strings.Split(name, "/")
	parts = slices.DeleteFunc(parts, func(s string) bool { return s == "" || s == "." })
	for _, part := range parts {
		if part == ".." {
			return nil, errors.New("the name leads out of the image by \"..\"")
		}
		if len(part) > maxName {
			return nil, fmt.Errorf("a part of the name has more than %d bytes", maxName)
		}
	}
	return parts, nil
}

// parent finds the folder of the last part of path. With create it makes what
// is missing, and notes that the present layer has these folders; without, it
// returns nil for a folder that is not there.
func (w *Writer) parent(path []string, create bool) (*node, error) {
	return w.walk(path[:len(path)-1], create)
}

// find returns what path leads to, or nil; follow tells if a symbolic link at
// the end is followed.
func (w *Writer) find(path []string, follow bool) *node {
	if follow || len(path) == 0 {
		n, err := w.walk(path, false)
		if err != nil {
			return nil
		}
		return n
	}
	dir, err := w.parent(path, false)
	if err != nil || dir == nil || !dir.isDir() {
		return nil
	}
	return dir.children[path[len(path)-1]].node
}

// walk goes down path, following symbolic links. Without create it returns
// nil where something is missing.
func (w *Writer) walk(path []string, create bool) (*node, error) {
	trail := []*node{w.root} // the way here, for ".." in links
	followed := 0
	todo := slices.Clone(path)
	slices.Reverse(todo) // the next part is the last
	for len(todo) > 0 {
		here := trail[len(trail)-1]
		part := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if part == "" || part == "." {
			continue
		}
		if part == ".." {
			trail = trail[:max(1, len(trail)-1)]
			continue
		}
		if !here.isDir() {
			return w.notFolder(create)
		}
		next, err := w.step(here, part, create)
		if next == nil || err != nil {
			return nil, err
		}
		if !next.isSymlink() {
			trail = append(trail, next)
			continue
		}
		if followed++; followed > maxFollow || len(todo) > maxPath {
			return nil, errors.New("too many symbolic links in the path")
		}
		if strings.HasPrefix(next.target, "/") {
			trail = trail[:1]
		}
		parts := strings.Split(next.target, "/")
		slices.Reverse(parts)
		todo = append(todo, parts...)
	}
	end := trail[len(trail)-1]
	if create && !end.isDir() {
		return w.notFolder(create)
	}
	return end, nil
}

func (w *Writer) notFolder(create bool) (*node, error) {
	if create {
		return nil, errors.New("a part of the path is not a folder")
	}
	return nil, nil
}

// step goes into one part of a folder; nil is "not there".
func (w *Writer) step(dir *node, part string, create bool) (*node, error) {
	c, found := dir.children[part]
	if !create {
		return c.node, nil
	}
	if !found {
		if len(part) > maxName {
			return nil, fmt.Errorf("a part of the path has more than %d bytes", maxName)
		}
		if err := w.count(part); err != nil {
			return nil, err
		}
		c.node = w.newFolder(0o755)
	}
	if c.node.isDir() {
		dir.children[part] = child{node: c.node, layer: w.layer}
	}
	return c.node, nil
}

// hideChild removes a name unless the present layer has it; of a folder that
// it has, what earlier layers put there.
func (w *Writer) hideChild(dir *node, name string) {
	if !dir.isDir() {
		return
	}
	c, found := dir.children[name]
	switch {
	case !found || c.node == w.lostFnd:
	case c.layer < w.layer:
		delete(dir.children, name)
	case c.node.isDir():
		w.hideChildren(c.node)
	}
}

func (w *Writer) hideChildren(dir *node) {
	folders := []*node{dir}
	for len(folders) > 0 {
		last := folders[len(folders)-1]
		folders = folders[:len(folders)-1]
		for name, c := range last.children {
			switch {
			case c.node == w.lostFnd:
			case c.layer < w.layer:
				delete(last.children, name)
			case c.node.isDir():
				folders = append(folders, c.node)
			}
		}
	}
}
