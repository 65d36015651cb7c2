package cow

import (
	"fmt"
	"io/fs"
	"os"
)

// Open reads the header of the COW file at path.
func Open(path string) (*Header, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	h, err := ReadHeader(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return h, nil
}

// Create makes a new COW file at path over the existing file backing. It is
// sparse and takes the same time for any size. It never replaces a file: the
// error is then fs.ErrExist. Its content is durable when Create returns; its
// name is once the folder is.
func Create(path, backing string) error {
	h, err := headerFor(backing)
	if err != nil {
		return fmt.Errorf("cannot make the copy-on-write file %s: %w", path, err)
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("cannot make a copy-on-write file: %w", err)
	}
	err = h.write(file)
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		os.Remove(path)
		return fmt.Errorf("cannot write the copy-on-write file %s: %w", path, err)
	}
	return nil
}

// write makes file an empty COW file. A kernel that finds the header finds the
// whole, so the length comes first.
func (h *Header) write(file *os.File) error {
	if err := file.Truncate(int64(h.FileSize())); err != nil {
		return err
	}
	if _, err := file.WriteAt(h.encode(), 0); err != nil {
		return err
	}
	return file.Sync()
}

// CreateFile makes file, empty and open for writing, a new COW file over the
// backing file at the absolute path backing, whose stat is info. It opens
// nothing: the caller knows that the backing file is not itself a COW file
// (ReadHeader tells). Its content is durable when CreateFile returns. After an
// error the file is the caller's to remove.
func CreateFile(file *os.File, backing string, info fs.FileInfo) error {
	if err := createFile(file, backing, info); err != nil {
		return fmt.Errorf("cannot write the copy-on-write file %s: %w", file.Name(), err)
	}
	return nil
}

func createFile(file *os.File, backing string, info fs.FileInfo) error {
	h, err := newHeader(backing, info)
	if err != nil {
		return err
	}
	now, err := file.Stat()
	if err != nil {
		return err
	}
	if now.Size() != 0 {
		return fmt.Errorf("it is not empty, but has %d bytes", now.Size())
	}
	return h.write(file)
}

// headerFor describes a new COW file over backing, which it opens to see that
// it will do.
func headerFor(backing string) (*Header, error) {
	if err := checkPath(backing, pathV3); err != nil {
		return nil, err
	}
	file, err := openFile(backing, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	h, err := newHeader(backing, info)
	if err != nil {
		return nil, err
	}
	if _, err := ReadHeader(file); err == nil {
		return nil, fmt.Errorf("the backing file %s is itself a copy-on-write file, which the kernel would read as raw data", backing)
	}
	return h, nil
}

func newHeader(backing string, info fs.FileInfo) (*Header, error) {
	if err := checkPath(backing, pathV3); err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("the backing file %s is not a regular file", backing)
	}
	if info.Size() > maxSize {
		return nil, fmt.Errorf("the backing file %s is too large: %d bytes", backing, info.Size())
	}
	mtime, err := headerTime(info)
	if err != nil {
		return nil, err
	}
	return &Header{
		Version:      3,
		Backing:      backing,
		BackingMtime: mtime,
		BackingSize:  uint64(info.Size()),
		SectorSize:   sectorSize,
		Alignment:    alignment,
		headerSize:   sizeV3,
	}, nil
}

// Check tells whether a kernel will take backing, the stat of the backing
// file, for the one that the COW file was made over: it compares size and
// modification time as the kernel does (ubd_kern.c, backing_file_mismatch).
// The error is an ErrMismatch.
func Check(h *Header, backing fs.FileInfo) error {
	if size := uint64(backing.Size()); size != h.BackingSize {
		return mismatch("the backing file has %d bytes, but had %d when the copy-on-write file over it was made: "+
			"its content can no longer be trusted; restore the backing file", size, h.BackingSize)
	}
	// A kernel compares the header's 32 bits with the whole time.
	if mtime := backing.ModTime().Unix(); mtime != int64(h.BackingMtime) {
		return mismatch("the backing file was modified at %d, but the copy-on-write file was made over its state of %d: "+
			"if its content is unchanged (a copy, a restored backup), set the time back with: touch -d @%d", mtime, h.BackingMtime, h.BackingMtime)
	}
	return nil
}

// mismatchError is an ErrMismatch with a text that stands alone.
type mismatchError string

func mismatch(format string, args ...any) error {
	return mismatchError(fmt.Sprintf(format, args...))
}

func (e mismatchError) Error() string { return string(e) }

func (e mismatchError) Is(target error) bool { return target == ErrMismatch }
