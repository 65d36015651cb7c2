package ext4read

import (
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// Entry is a name in a folder.
type Entry struct {
	// Name has 1 to 255 bytes, no slash and no NUL, and is not "." or "..".
	Name  string
	inode uint32
}

// Entries calls each for every name in the folder n, in the order of the disk,
// until it returns an error, which is then returned.
func (f *FS) Entries(n *Inode, each func(Entry) error) error {
	if !n.Mode.IsDir() {
		return fmt.Errorf("inode %d: not a folder: %w", n.Number, fs.ErrInvalid)
	}
	if n.flags&flagInline != 0 {
		return fmt.Errorf("%w: the folder of inode %d is inline data", ErrUnsupported, n.Number)
	}
	return f.extents(n, func(_ int64, p []byte) error {
		for len(p) > 0 {
			block := p[:min(len(p), int(f.blockSize))]
			if err := entries(block, n.Number, each); err != nil {
				return err
			}
			p = p[len(block):]
		}
		return nil
	})
}

// entries are those of one block. The nodes of an indexed folder's tree look
// like blocks without entries, so the index need not be known.
func entries(block []byte, folder uint32, each func(Entry) error) error {
	const header = 8
	for len(block) >= header {
		inode, length, name := le32(block, 0), int(le16(block, 4)), int(block[6])
		if length == 0 || length == 0xFFFF { // 64 KiB do not fit 16 bits
			length = len(block)
		}
		if length < header || length > len(block) || header+name > length {
			return damaged("the folder of inode %d has an entry of %d bytes with a name of %d", folder, length, name)
		}
		if entry := (Entry{string(block[header : header+name]), inode}); inode != 0 && entry.Name != "." && entry.Name != ".." {
			if !validName(entry.Name) {
				return damaged("the folder of inode %d has the name %q", folder, entry.Name)
			}
			if err := each(entry); err != nil {
				return err
			}
		}
		block = block[length:]
	}
	return nil
}

func validName(name string) bool {
	return name != "" && !strings.ContainsAny(name, "/\x00")
}

// Inode is the file of an entry.
func (f *FS) Inode(e Entry) (*Inode, error) { return f.inode(e.inode) }

// Root is the file system's root folder.
func (f *FS) Root() (*Inode, error) {
	n, err := f.inode(rootInode)
	if err == nil && !n.Mode.IsDir() {
		return nil, damaged("the root is not a folder")
	}
	return n, err
}

// maxLinks is how many symbolic links one path may lead over, as in Linux.
const maxLinks = 40

// Lookup finds the file of a path. Links on the way are followed inside the
// file system, where ".." of the root is the root; the last part is followed
// too if follow says so. A path's errors are *fs.PathError.
func (f *FS) Lookup(name string, follow bool) (*Inode, error) {
	w := walk{fs: f, follow: follow}
	n, err := w.walk(name)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return n, nil
}

// walk is one Lookup under way: stack are the folders from the root down.
type walk struct {
	fs     *FS
	follow bool
	links  int
	stack  []*Inode
}

func (w *walk) walk(name string) (*Inode, error) {
	root, err := w.fs.Root()
	if err != nil {
		return nil, err
	}
	w.stack = []*Inode{root}
	parts := split(name)
	for len(parts) > 0 {
		part := parts[0]
		parts = parts[1:]
		target, err := w.step(part, len(parts) == 0)
		if err != nil {
			return nil, err
		}
		if target == "" {
			continue
		}
		if path.IsAbs(target) {
			w.stack = w.stack[:1]
		}
		parts = append(split(target), parts...)
		if len(parts) > maxLink {
			return nil, fmt.Errorf("the path is too long")
		}
	}
	return w.stack[len(w.stack)-1], nil
}

// step goes one part further. A link's target is returned, to be walked next.
func (w *walk) step(part string, last bool) (target string, err error) {
	here := w.stack[len(w.stack)-1]
	if !here.Mode.IsDir() {
		return "", fmt.Errorf("not a folder")
	}
	switch part {
	case ".":
		return "", nil
	case "..":
		w.stack = w.stack[:max(1, len(w.stack)-1)]
		return "", nil
	}
	n, err := w.fs.child(here, part)
	if err != nil {
		return "", err
	}
	if n.Mode&fs.ModeSymlink == 0 || last && !w.follow {
		w.stack = append(w.stack, n)
		return "", nil
	}
	if w.links++; w.links > maxLinks {
		return "", fmt.Errorf("too many levels of symbolic links")
	}
	return w.fs.Readlink(n)
}

// split is a path's parts; a slash at the end asks for a folder.
func split(name string) []string {
	var parts []string
	for part := range strings.SplitSeq(name, "/") {
		if part != "" {
			parts = append(parts, part)
		}
	}
	if strings.HasSuffix(name, "/") {
		parts = append(parts, ".")
	}
	return parts
}

// errFound ends a search through a folder.
var errFound = fmt.Errorf("found")

// child finds a name in a folder.
func (f *FS) child(folder *Inode, name string) (*Inode, error) {
	var found Entry
	err := f.Entries(folder, func(e Entry) error {
		if e.Name != name {
			return nil
		}
		found = e
		return errFound
	})
	switch {
	case err == errFound:
		return f.inode(found.inode)
	case err != nil:
		return nil, err
	default:
		return nil, fs.ErrNotExist
	}
}
