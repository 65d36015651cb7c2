package image

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"

	"virtumld/internal/ext4img"
	"virtumld/internal/imgformat"
)

// openDisk opens a disk image and checks that it is of the wanted format.
func openDisk(path string, want imgformat.Format) (*os.File, imgformat.Info, int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, imgformat.Info{}, 0, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a file", path)
	}
	var image imgformat.Info
	if err == nil {
		image, err = imgformat.Detect(f, info.Size())
	}
	if err == nil && image.Format != want {
		err = fmt.Errorf("%s is of the format %s, not %s", path, image.Format, want)
	}
	if err != nil {
		_ = f.Close()
		return nil, image, 0, err
	}
	return f, image, info.Size(), nil
}

// fits checks a disk's size against the limits.
func (j *job) fits(capacity int64) error {
	switch {
	case capacity > j.maxSize:
		return fmt.Errorf("the disk has %d bytes, more than --max-size: %w", capacity, ext4img.ErrLimit)
	case j.size != 0 && j.size < capacity:
		return fmt.Errorf("the disk has %d bytes and cannot be cut to %d", capacity, j.size)
	}
	return nil
}

// copyRaw copies a raw image: by sharing its blocks where the filesystem can,
// else without its holes.
func (j *job) copyRaw(ctx context.Context, f *os.File) error {
	from, _, size, err := openDisk(j.source, imgformat.Raw)
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }()
	if err := j.fits(size); err != nil {
		return err
	}
	if unix.IoctlFileClone(int(f.Fd()), int(from.Fd())) != nil {
		if err := j.copyData(ctx, f, from, size); err != nil {
			return err
		}
	}
	return f.Truncate(max(size, j.size))
}

func (j *job) copyData(ctx context.Context, to, from *os.File, size int64) error {
	buffer := make([]byte, 1<<20)
	for at := int64(0); at < size; {
		data, err := unix.Seek(int(from.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return nil // a hole up to the end
		}
		end := size
		if err == nil {
			at = data
			end, err = unix.Seek(int(from.Fd()), at, unix.SEEK_HOLE)
		}
		if err != nil && !errors.Is(err, unix.EINVAL) {
			return os.NewSyscallError("lseek", err)
		}
		for end = min(end, size); at < end; {
			if err := ctx.Err(); err != nil {
				return err
			}
			part := buffer[:min(int64(len(buffer)), end-at)]
			if _, err := from.ReadAt(part, at); err != nil {
				return fmt.Errorf("reading %s: %w", from.Name(), orUnexpected(err))
			}
			if _, err := to.WriteAt(part, at); err != nil {
				return err
			}
			at += int64(len(part))
			j.options.Progress(at, size)
		}
	}
	return nil
}

func orUnexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// convert has qemu-img convert a qcow2 image, which must be complete in
// itself: a foreign image that names other files of this host would have these
// copied into the guest.
func (j *job) convert(ctx context.Context, f *os.File) error {
	from, image, _, err := openDisk(j.source, imgformat.QCOW2)
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }()
	if image.Backing != "" {
		return fmt.Errorf("the qcow2 image is one over %q: flatten it first with qemu-img convert", image.Backing)
	}
	if external, err := hasDataFile(from); err != nil || external {
		return errors.Join(err, errors.New("the qcow2 image keeps its data in another file: flatten it first with qemu-img convert"))
	}
	if image.Capacity > uint64(j.maxSize) {
		return fmt.Errorf("the disk has %d bytes, more than --max-size: %w", image.Capacity, ext4img.ErrLimit)
	}
	if err := j.fits(int64(image.Capacity)); err != nil {
		return err
	}
	program, err := exec.LookPath("qemu-img")
	if err != nil {
		return errors.New("a qcow2 image needs qemu-img: install the package qemu-utils, or convert the image to raw elsewhere")
	}
	source, err := filepath.Abs(j.source)
	if err != nil {
		return err
	}
	target := f.Name()
	out, err := exec.CommandContext(ctx, program, "convert", "-f", "qcow2", "-O", "raw", source, target).CombinedOutput()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("qemu-img: %w: %.500s", err, out)
	}
	if err := sameFile(f, target); err != nil {
		return err
	}
	if j.size == 0 {
		return nil
	}
	return f.Truncate(j.size)
}

// sameFile checks that a program wrote into f and not into a new file of the
// same name.
func sameFile(f *os.File, path string) error {
	ours, err := f.Stat()
	if err != nil {
		return err
	}
	theirs, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if !os.SameFile(ours, theirs) {
		return fmt.Errorf("%s was replaced by another program", path)
	}
	return nil
}

// hasDataFile tells if a qcow2 image's data is in another file: bit 2 of the
// incompatible features (docs/interop/qcow2.txt of QEMU), from version 3 on.
func hasDataFile(r io.ReaderAt) (bool, error) {
	var header [80]byte
	if _, err := r.ReadAt(header[:], 0); err != nil {
		return false, orUnexpected(err)
	}
	version := binary.BigEndian.Uint32(header[4:])
	return version >= 3 && binary.BigEndian.Uint64(header[72:])&(1<<2) != 0, nil
}
