package storage

import (
	"context"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

const (
	// copyBuffer is what one read and one write move, in bytes.
	copyBuffer = 1 << 20
	// copyRange is what one copy_file_range(2) moves, in bytes: between two
	// of them ctx is looked at.
	copyRange = 16 << 20
)

// copyExtents copies the first size bytes of from to the same places of to,
// and leaves out the holes. path is what to will be called.
func copyExtents(ctx context.Context, to, from *os.File, path string, size int64) error {
	for at := int64(0); at < size; {
		start, end, err := nextExtent(from, at, size)
		if errors.Is(err, errNoHoles) {
			start, end, err = at, size, nil
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return systemErr(err, "failed reading from file '%s'", from.Name())
		}
		if err := copyExtent(ctx, to, from, path, start, end); err != nil {
			return err
		}
		at = end
	}
	return nil
}

// copyExtent lets the kernel copy, or copies itself where the kernel does not.
func copyExtent(ctx context.Context, to, from *os.File, path string, start, end int64) error {
	for start < end {
		if err := ctx.Err(); err != nil {
			return err
		}
		in, out := start, start
		n, err := unix.CopyFileRange(int(from.Fd()), &in, int(to.Fd()), &out, int(min(end-start, copyRange)), 0)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EXDEV), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EOPNOTSUPP):
			return copyBetween(ctx, to, from, path, from.Name(), start, end, make([]byte, min(end-start, copyBuffer)))
		case err != nil:
			return systemErr(err, "failed writing to file '%s'", path)
		case n == 0:
			return nil // from has become shorter
		default:
			start += int64(n)
		}
	}
	return nil
}

// copyBetween copies the bytes from start to end through buffer.
func copyBetween(ctx context.Context, to io.WriterAt, from io.ReaderAt, toPath, fromPath string, start, end int64, buffer []byte) error {
	for start < end {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := from.ReadAt(buffer[:min(end-start, int64(len(buffer)))], start)
		if err != nil && !errors.Is(err, io.EOF) {
			return systemErr(err, "failed reading from file '%s'", fromPath)
		}
		if n == 0 {
			return nil
		}
		if _, err := to.WriteAt(buffer[:n], start); err != nil {
			return systemErr(err, "failed writing to file '%s'", toPath)
		}
		start += int64(n)
	}
	return nil
}
