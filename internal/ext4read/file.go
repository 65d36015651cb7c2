package ext4read

import (
	"fmt"
	"io"
	"io/fs"
)

// Extents calls data for each piece of a regular file that is not a hole, in
// order, with its offset in bytes. The slice is valid during the call. It ends
// with data's first error. A file never has more data than its file system has
// room for: one that says so shares blocks and is damaged.
func (f *FS) Extents(n *Inode, data func(offset int64, p []byte) error) error {
	if !n.Mode.IsRegular() {
		return fmt.Errorf("inode %d: not a regular file: %w", n.Number, fs.ErrInvalid)
	}
	return f.extents(n, data)
}

// extents is Extents for every kind of file that has data.
func (f *FS) extents(n *Inode, data func(offset int64, p []byte) error) error {
	switch {
	case n.flags&flagEncrypted != 0:
		return fmt.Errorf("%w: inode %d is encrypted", ErrUnsupported, n.Number)
	case n.flags&flagInline != 0 && n.Size > inlineSize:
		return fmt.Errorf("%w: inode %d has inline data of %d bytes", ErrUnsupported, n.Number, n.Size)
	case n.flags&flagInline != 0:
		return data(0, n.block[:n.Size])
	}
	buffer := make([]byte, max(f.blockSize, 256<<10))
	room := f.blocks
	total := uint64((n.Size + f.blockSize - 1) / f.blockSize)
	for at := uint64(0); at < total; {
		r, err := f.runAt(n, at)
		if err != nil {
			return err
		}
		r.count = min(r.count, total-at)
		if r.start != 0 {
			if r.count > room {
				return damaged("inode %d has more data than the file system", n.Number)
			}
			room -= r.count
			if err := f.readRun(n, r, buffer, data); err != nil {
				return err
			}
		}
		at += r.count
	}
	return nil
}

// readRun passes on the data of one run.
func (f *FS) readRun(n *Inode, r run, buffer []byte, data func(int64, []byte) error) error {
	offset, from := int64(r.first)*f.blockSize, int64(r.start)*f.blockSize
	left := min(int64(r.count)*f.blockSize, n.Size-offset)
	for left > 0 {
		b := buffer[:min(int64(len(buffer)), left)]
		if _, err := readFull(f.r, b, from); err != nil {
			return err
		}
		if err := data(offset, b); err != nil {
			return err
		}
		offset, from, left = offset+int64(len(b)), from+int64(len(b)), left-int64(len(b))
	}
	return nil
}

// Copy writes a regular file to w, holes as zeros.
func (f *FS) Copy(w io.Writer, n *Inode) error {
	at := int64(0)
	err := f.Extents(n, func(offset int64, p []byte) error {
		if err := zeros(w, offset-at); err != nil {
			return err
		}
		at = offset + int64(len(p))
		_, err := w.Write(p)
		return err
	})
	if err != nil {
		return err
	}
	return zeros(w, n.Size-at)
}

func zeros(w io.Writer, n int64) error {
	b := make([]byte, min(max(n, 0), 64<<10))
	for n > 0 {
		m, err := w.Write(b[:min(int64(len(b)), n)])
		if err != nil {
			return err
		}
		n -= int64(m)
	}
	return nil
}

// maxLink is the longest target of a symbolic link, in bytes (PATH_MAX).
const maxLink = 4096

// Readlink is the target of a symbolic link.
func (f *FS) Readlink(n *Inode) (string, error) {
	switch {
	case n.Mode&fs.ModeSymlink == 0:
		return "", fmt.Errorf("inode %d: not a symbolic link: %w", n.Number, fs.ErrInvalid)
	case n.Size <= 0 || n.Size > maxLink:
		return "", damaged("inode %d is a link to a path of %d bytes", n.Number, n.Size)
	case n.Size < inlineSize && n.flags&flagExtents == 0:
		return string(n.block[:n.Size]), nil
	}
	target := make([]byte, n.Size)
	err := f.extents(n, func(offset int64, p []byte) error {
		copy(target[offset:], p)
		return nil
	})
	return string(target), err
}
