package rootfs

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/xi2/xz"
)

// maxWindow bounds the memory that a zstd or xz file may ask for, in bytes; it
// is what the zstd program allows without being told otherwise, and twice what
// "xz -9" makes.
const maxWindow = 128 << 20

// errWindow is for a file that asks for more.
var errWindow = fmt.Errorf("the compressed data needs more than %d MiB of memory to unpack; compress it anew with the program's usual options", maxWindow>>20)

// compressions are told apart by their first bytes.
var compressions = []struct {
	magic string
	open  func(io.Reader) (io.ReadCloser, error)
}{
	{"\x1f\x8b", func(r io.Reader) (io.ReadCloser, error) { return gzip.NewReader(r) }},
	{"\xfd7zXZ\x00", func(r io.Reader) (io.ReadCloser, error) {
		x, err := xz.NewReader(r, maxWindow)
		return io.NopCloser(x), err
	}},
	{"\x28\xb5\x2f\xfd", func(r io.Reader) (io.ReadCloser, error) {
		z, err := zstd.NewReader(r, zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	}},
	{"BZh", func(r io.Reader) (io.ReadCloser, error) { return io.NopCloser(bzip2.NewReader(r)), nil }},
}

// decompress reads r through the decompressor that its first bytes ask for,
// or as it is. It does not close r.
func decompress(r io.Reader) (io.ReadCloser, error) {
	b := bufio.NewReaderSize(r, 1<<20)
	start, err := b.Peek(8)
	if err != nil && len(start) == 0 {
		return nil, err
	}
	for _, c := range compressions {
		if bytes.HasPrefix(start, []byte(c.magic)) {
			r, err := c.open(b)
			if err != nil {
				return nil, windowError(err)
			}
			return bounded{r}, nil
		}
	}
	return io.NopCloser(b), nil
}

// bounded says what to do about data that asks for too much memory.
type bounded struct{ io.ReadCloser }

func (b bounded) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	return n, windowError(err)
}

func windowError(err error) error {
	if errors.Is(err, xz.ErrMemlimit) || errors.Is(err, zstd.ErrWindowSizeExceeded) {
		return errWindow
	}
	return err
}

// isCompressed tells if start is that of a file that decompress unpacks.
func isCompressed(start []byte) bool {
	for _, c := range compressions {
		if bytes.HasPrefix(start, []byte(c.magic)) {
			return true
		}
	}
	return false
}
