package cow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// copyStep is how many bytes are copied between two looks at the context.
const copyStep = 8 << 20

// Reflink makes dst, an empty file open for writing, share all of src's
// blocks (ioctl_ficlone(2)). The error is errors.ErrUnsupported where the
// filesystem cannot, or where the two files lie on different ones.
func Reflink(dst, src *os.File) error {
	err := withBoth(dst, src, func(to, from int) error { return unix.IoctlFileClone(to, from) })
	switch {
	case err == nil:
		return nil
	case cannotShare(err):
		return fmt.Errorf("cannot reflink %s to %s: %w", src.Name(), dst.Name(), errors.ErrUnsupported)
	default:
		return fmt.Errorf("cannot reflink %s to %s: %w", src.Name(), dst.Name(), err)
	}
}

// cannotShare tells the errors of FICLONE and copy_file_range that say "not
// with these files" from those that say that something broke.
func cannotShare(err error) bool {
	for _, no := range []error{unix.EXDEV, unix.EINVAL, unix.EOPNOTSUPP, unix.ENOSYS, unix.ENOTTY, unix.EPERM} {
		if errors.Is(err, no) {
			return true
		}
	}
	return false
}

// nextData is the first byte from off on, but before end, that f does not hold
// as a hole; end when there is none.
func nextData(f *os.File, off, end int64) (int64, error) {
	if off >= end {
		return end, nil
	}
	at, err := f.Seek(off, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO): // holes to the end of the file
		return end, nil
	case errors.Is(err, unix.EINVAL): // a filesystem without holes
		return off, nil
	case err != nil:
		return 0, err
	}
	return min(at, end), nil
}

// nextHole is the end of the data that begins at off, at most end.
func nextHole(f *os.File, off, end int64) (int64, error) {
	at, err := f.Seek(off, unix.SEEK_HOLE)
	switch {
	case errors.Is(err, unix.ENXIO), errors.Is(err, unix.EINVAL):
		return end, nil
	case err != nil:
		return 0, err
	}
	return min(at, end), nil
}

// copyExtent copies n bytes of src to dst, holes as holes. told hears of each
// step's bytes.
func copyExtent(ctx context.Context, dst *os.File, to int64, src *os.File, from, n int64, told func(int64)) error {
	shift, end := to-from, from+n
	for from < end {
		data, err := nextData(src, from, end)
		if err != nil {
			return err
		}
		if err := clearRange(ctx, dst, from+shift, data-from); err != nil {
			return err
		}
		told(data - from)
		if data == end {
			return nil
		}
		hole, err := nextHole(src, data, end)
		if err != nil {
			return err
		}
		if err := copyData(ctx, dst, data+shift, src, data, hole-data, told); err != nil {
			return err
		}
		from = hole
	}
	return nil
}

// copyData copies n bytes of src to dst, by sharing blocks where the
// filesystem can.
func copyData(ctx context.Context, dst *os.File, to int64, src *os.File, from, n int64, told func(int64)) error {
	for n > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		step := min(n, copyStep)
		done, err := copyFileRange(dst, to, src, from, step)
		if err != nil && cannotShare(err) {
			done, err = copyByHand(dst, to, src, from, step)
		}
		if err == nil && done == 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return fmt.Errorf("cannot copy from %s to %s: %w", src.Name(), dst.Name(), err)
		}
		told(done)
		to, from, n = to+done, from+done, n-done
	}
	return nil
}

func copyFileRange(dst *os.File, to int64, src *os.File, from, n int64) (done int64, err error) {
	err = withBoth(dst, src, func(out, in int) error {
		for {
			count, err := unix.CopyFileRange(in, &from, out, &to, int(n), 0)
			if !errors.Is(err, unix.EINTR) {
				done = int64(max(count, 0))
				return err
			}
		}
	})
	return done, err
}

func copyByHand(dst *os.File, to int64, src *os.File, from, n int64) (int64, error) {
	return io.Copy(io.NewOffsetWriter(dst, to), io.NewSectionReader(src, from, n))
}

// clearRange makes n bytes of f from off on read as 0. It writes nothing where
// f has a hole.
func clearRange(ctx context.Context, f *os.File, off, n int64) error {
	data, err := nextData(f, off, off+n)
	if err != nil || data == off+n {
		return err
	}
	n -= data - off
	if err := punch(f, data, n); err == nil || !cannotShare(err) {
		return err
	}
	zeros := make([]byte, min(n, copyStep))
	for ; n > 0; data, n = data+int64(len(zeros)), n-int64(len(zeros)) {
		if err := ctx.Err(); err != nil {
			return err
		}
		zeros = zeros[:min(n, int64(len(zeros)))]
		if _, err := f.WriteAt(zeros, data); err != nil {
			return err
		}
	}
	return nil
}

// punch makes a hole of n bytes; the file's length stays.
func punch(f *os.File, off, n int64) error {
	return withFd(f, func(fd int) error {
		for {
			err := unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
			if !errors.Is(err, unix.EINTR) {
				return err
			}
		}
	})
}

func withBoth(a, b *os.File, call func(a, b int) error) error {
	return withFd(a, func(first int) error {
		return withFd(b, func(second int) error { return call(first, second) })
	})
}

// withFd keeps f open while call uses its descriptor.
func withFd(f *os.File, call func(fd int) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var callErr error
	if err := conn.Control(func(fd uintptr) { callErr = call(int(fd)) }); err != nil {
		return err
	}
	return callErr
}
