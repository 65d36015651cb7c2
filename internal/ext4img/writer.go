// Package ext4img writes an ext4 filesystem into a file from tar entries, in
// one pass, with the owners, modes, times, extended attributes, devices and
// hard links that the entries name, whoever runs it. It does not know where
// the entries come from, nor what becomes of the file.
//
// File contents go to the disk as they come; the tree of names stays in
// memory; tables and bitmaps follow in Finish, when it is known how much there
// is. The layout is that of
// https://docs.kernel.org/filesystems/ext4/index.html, with a journal, without
// checksums.
package ext4img

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// File is what the filesystem is written into. It must be empty: what is never
// written is taken to be zero.
type File interface {
	io.WriterAt
	Truncate(size int64) error
}

// Options are limits. Zero values mean the defaults.
type Options struct {
	// MaxSize is the most that the filesystem, and the files in it as their
	// headers tell, may need, in bytes.
	MaxSize int64
	// MaxEntries is the most files, folders and links.
	MaxEntries int
	// Now is the time stamped on what the entries say nothing about.
	Now time.Time
}

// The defaults of Options, and the most that 32 bits of block number allow.
const (
	DefaultMaxSize    = 64 << 30
	DefaultMaxEntries = 2_000_000
	LargestMaxSize    = 15 << 40

	maxText = 256 << 20
)

// ErrLimit is wrapped by every error about an image that is larger than the
// limits allow.
var ErrLimit = errors.New("limit exceeded")

// Writer builds one filesystem. It is used by one goroutine.
type Writer struct {
	out      output
	space    space
	limits   Options
	root     *node
	lostFnd  *node
	layer    int32
	entries  int
	apparent int64 // bytes of content, by the headers
	text     int   // bytes of names and link targets in memory
	chunk    []byte
}

// New returns a Writer of a filesystem that is empty but for lost+found.
func New(f File, o Options) (*Writer, error) {
	if o.MaxSize == 0 {
		o.MaxSize = DefaultMaxSize
	}
	if o.MaxEntries == 0 {
		o.MaxEntries = DefaultMaxEntries
	}
	if o.MaxSize < minBlocks*blockSize || o.MaxSize > LargestMaxSize {
		return nil, fmt.Errorf("a filesystem of %d bytes: the size must be between %d and %d", o.MaxSize, minBlocks*blockSize, int64(LargestMaxSize))
	}
	w := &Writer{
		out:    output{f: f},
		space:  newSpace(uint32(o.MaxSize / blockSize)),
		limits: o,
		chunk:  make([]byte, holeSize),
	}
	w.root = w.newFolder(0o755)
	w.lostFnd = w.newFolder(0o700)
	w.root.children[lostFound] = child{node: w.lostFnd}
	return w, nil
}

// Add adds an entry, whose content r yields when it is a regular file. What
// has its name already is replaced; a folder that is there keeps its content.
// Missing parents are made; parents that are symbolic links are followed
// inside the filesystem, as if it were the root.
func (w *Writer) Add(h *tar.Header, r io.Reader) error {
	if err := w.add(h, r); err != nil {
		return fmt.Errorf("entry %.200q: %w", h.Name, err)
	}
	return nil
}

func (w *Writer) add(h *tar.Header, r io.Reader) error {
	if h.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	path, err := splitName(h.Name)
	if err != nil {
		return err
	}
	if len(path) == 0 {
		if h.Typeflag != tar.TypeDir {
			return errors.New("the root must be a folder")
		}
		return w.setAttributes(w.root, h)
	}
	base := path[len(path)-1]
	if err := w.count(base); err != nil {
		return err
	}
	dir, err := w.parent(path, true)
	if err != nil {
		return err
	}
	if h.Typeflag == tar.TypeLink {
		return w.link(dir, base, h.Linkname)
	}
	if dir == w.root && base == lostFound && h.Typeflag != tar.TypeDir {
		return errors.New("lost+found of an ext4 filesystem must be a folder")
	}
	n, err := w.make(dir.children[base].node, h, r)
	if err != nil {
		return err
	}
	dir.children[base] = child{node: n, layer: w.layer}
	return nil
}

// make makes the node of an entry, or updates old when both are folders.
func (w *Writer) make(old *node, h *tar.Header, r io.Reader) (*node, error) {
	n := &node{}
	switch h.Typeflag {
	case tar.TypeDir:
		if old != nil && old.isDir() {
			n = old
		} else {
			n = w.newFolder(0)
		}
	case tar.TypeReg, '\x00', tar.TypeCont, tar.TypeGNUSparse:
		n.mode = modeRegular
		if err := w.content(n, h.Size, r); err != nil {
			return nil, err
		}
	case tar.TypeSymlink:
		n.mode = modeSymlink
		if err := w.symlink(n, h.Linkname); err != nil {
			return nil, err
		}
	case tar.TypeChar, tar.TypeBlock:
		n.mode = modeChar
		if h.Typeflag == tar.TypeBlock {
			n.mode = modeBlock
		}
		if h.Devmajor < 0 || h.Devmajor > 0xfff || h.Devminor < 0 || h.Devminor > 0xfffff {
			return nil, fmt.Errorf("device %d:%d does not exist in Linux", h.Devmajor, h.Devminor)
		}
		n.major, n.minor = uint32(h.Devmajor), uint32(h.Devminor)
	case tar.TypeFifo:
		n.mode = modeFIFO
	default:
		return nil, fmt.Errorf("type %q of tar entry is not known", h.Typeflag)
	}
	return n, w.setAttributes(n, h)
}

// setAttributes takes owner, mode, times and extended attributes from h.
func (w *Writer) setAttributes(n *node, h *tar.Header) error {
	if h.Uid < 0 || int64(h.Uid) > 0xffffffff || h.Gid < 0 || int64(h.Gid) > 0xffffffff {
		return fmt.Errorf("owner %d:%d is out of range", h.Uid, h.Gid)
	}
	n.uid, n.gid = uint32(h.Uid), uint32(h.Gid)
	n.mode = n.mode&modeType | uint16(h.Mode&0o7777)
	if n.mode&modeType == modeSymlink {
		n.mode |= 0o777
	}
	n.mtime = orTime(h.ModTime, w.limits.Now)
	n.atime = orTime(h.AccessTime, n.mtime)
	n.ctime = orTime(h.ChangeTime, n.mtime)
	return w.setXattrs(n, h.PAXRecords)
}

// link gives the file at target, a path like an entry's name, another name.
func (w *Writer) link(dir *node, base, target string) error {
	path, err := splitName(target)
	if err != nil {
		return fmt.Errorf("hard link to %.200q: %w", target, err)
	}
	n := w.find(path, false)
	if n == nil {
		return fmt.Errorf("hard link to %.200q, which is not there", target)
	}
	if n.isDir() {
		return fmt.Errorf("hard link to %.200q, which is a folder", target)
	}
	if dir == w.root && base == lostFound {
		return errors.New("lost+found of an ext4 filesystem must be a folder")
	}
	if n.links >= maxLinks {
		return fmt.Errorf("more than %d hard links to %.200q", maxLinks, target)
	}
	n.links++
	dir.children[base] = child{node: n, layer: w.layer}
	return nil
}

func (w *Writer) symlink(n *node, target string) error {
	if target == "" || len(target) >= blockSize || strings.IndexByte(target, 0) >= 0 {
		return fmt.Errorf("symbolic link with a target of %d bytes, or with a zero byte in it: ext4 takes 1 to %d", len(target), blockSize-1)
	}
	n.size = int64(len(target))
	n.target = target
	w.text += len(target)
	if len(target) < inodeBlockSize {
		return nil
	}
	return w.content(n, n.size, strings.NewReader(target))
}

// NextLayer says that what follows lies over what came before: Hide and
// HideChildren concern earlier layers only.
func (w *Writer) NextLayer() { w.layer++ }

// Hide removes what earlier layers have at name. Nothing there is no error.
func (w *Writer) Hide(name string) error {
	path, err := splitName(name)
	if err != nil || len(path) == 0 {
		return fmt.Errorf("whiteout of %.200q: %w", name, orRoot(err))
	}
	dir, err := w.parent(path, false)
	if err != nil || dir == nil {
		return err
	}
	w.hideChild(dir, path[len(path)-1])
	return nil
}

// HideChildren removes what earlier layers have in the folder at name.
func (w *Writer) HideChildren(name string) error {
	path, err := splitName(name)
	if err != nil {
		return fmt.Errorf("opaque folder %.200q: %w", name, err)
	}
	if dir := w.find(path, true); dir != nil {
		w.hideChildren(dir)
	}
	return nil
}

// Exists tells if name leads to anything, symbolic links followed.
func (w *Writer) Exists(name string) bool {
	path, err := splitName(name)
	return err == nil && w.find(path, true) != nil
}

// count counts one more name.
func (w *Writer) count(name string) error {
	if w.entries++; w.entries > w.limits.MaxEntries {
		return fmt.Errorf("more than %d files: %w", w.limits.MaxEntries, ErrLimit)
	}
	if w.text += len(name); w.text > maxText {
		return fmt.Errorf("more than %d bytes of names: %w", maxText, ErrLimit)
	}
	return nil
}

func orRoot(err error) error {
	if err == nil {
		return errors.New("the root cannot be removed")
	}
	return err
}

func orTime(t, fallback time.Time) time.Time {
	if t.IsZero() {
		return fallback
	}
	return t
}
