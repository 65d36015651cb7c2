package cow

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// pathField is where the header holds the backing file's path, in bytes.
func (h *Header) pathField() (offset, length int) {
	switch {
	case h.Version == 1:
		return 8, pathV1
	case h.Version == 2:
		return 8, pathV3
	case h.headerSize == sizeV3Broken:
		return 36, pathV3
	default:
		return 32, pathV3
	}
}

// putMtime sets the backing file's modification time in the header b.
func (h *Header) putMtime(b []byte, mtime uint32) {
	switch h.Version {
	case 1:
		binary.NativeEndian.PutUint32(b[8+pathV1:], mtime)
	case 2:
		binary.BigEndian.PutUint32(b[8+pathV3:], mtime)
	default:
		binary.BigEndian.PutUint32(b[8:], mtime)
	}
}

// rewrite changes the header in the file: path and time of the backing file,
// and the mark of a merge that is under way, nil for none. Path and time are
// one write of the bytes that differ: for a path of common length they lie in
// one sector of the disk, so that no crash leaves half of them. An old mark is
// wiped once they are there. All is durable on return.
func (h *Header) rewrite(file *os.File, path string, mtime uint32, mark []byte) error {
	old := make([]byte, h.headerSize)
	if _, err := file.ReadAt(old, 0); err != nil {
		return err
	}
	now := bytes.Clone(old)
	h.putMtime(now, mtime)
	offset, length := h.pathField()
	field := now[offset : offset+length]
	if path != h.Backing {
		clear(field)
		copy(field, path)
	}
	place := field[len(field)-markSize:]
	copy(place, mark)
	if err := writeDifference(file, old, now); err != nil {
		return fmt.Errorf("cannot rewrite the header of %s: %w", file.Name(), err)
	}
	if mark == nil && isMark(place) {
		old = bytes.Clone(now)
		clear(place)
		if err := writeDifference(file, old, now); err != nil {
			return fmt.Errorf("cannot rewrite the header of %s: %w", file.Name(), err)
		}
	}
	h.Backing, h.BackingMtime = path, mtime
	return nil
}

// writeDifference writes now, of which the file holds old, in one write.
func writeDifference(file *os.File, old, now []byte) error {
	first, last := 0, len(now)
	for first < last && now[first] == old[first] {
		first++
	}
	for last > first && now[last-1] == old[last-1] {
		last--
	}
	if first == last {
		return nil
	}
	if _, err := file.WriteAt(now[first:last], int64(first)); err != nil {
		return err
	}
	return file.Sync()
}

// The mark of a merge stands at the very end of the path's field, behind the
// path's NUL, where no kernel looks: a magic, and inode and size of the
// backing file.
const markSize = 24

const markMagic = "\x00merge1\x00"

func isMark(b []byte) bool { return string(b[:8]) == markMagic }

// newMark is the mark of a merge into backing. The error says that the path
// leaves no room for it.
func (h *Header) newMark(backing fs.FileInfo) ([]byte, error) {
	if _, length := h.pathField(); len(h.Backing)+1+markSize > length {
		return nil, fmt.Errorf("the backing file's path of %d bytes is too long to merge into it; rebase to a shorter one first", len(h.Backing))
	}
	b := binary.BigEndian.AppendUint64([]byte(markMagic), inode(backing))
	return binary.BigEndian.AppendUint64(b, uint64(backing.Size())), nil
}

// halfMerged tells whether a merge into this very backing file has begun and
// has not ended. Then the time has changed for that reason.
func (p *pair) halfMerged(backing fs.FileInfo) bool {
	want, err := p.header.newMark(backing)
	if err != nil || uint64(backing.Size()) != p.header.BackingSize {
		return false
	}
	offset, length := p.header.pathField()
	found := make([]byte, markSize)
	_, err = p.cow.ReadAt(found, int64(offset+length-markSize))
	return err == nil && bytes.Equal(found, want)
}

func inode(info fs.FileInfo) uint64 {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return stat.Ino
	}
	return 0
}

// checkPath looks whether path can stand in a header field of this length.
func checkPath(path string, field int) error {
	switch {
	case !filepath.IsAbs(path):
		return fmt.Errorf("the backing file %q is not an absolute path", path)
	case len(path) >= field:
		return fmt.Errorf("the backing file's path has %d bytes, more than %d", len(path), field-1)
	case strings.ContainsRune(path, 0):
		return fmt.Errorf("the backing file's path holds a NUL")
	}
	return nil
}

// headerTime is a modification time as headers hold it.
func headerTime(backing fs.FileInfo) (uint32, error) {
	mtime := backing.ModTime().Unix()
	if mtime < 0 || mtime > math.MaxUint32 {
		return 0, fmt.Errorf("the backing file's modification time %s does not fit a copy-on-write header", backing.ModTime())
	}
	return uint32(mtime), nil
}
