// Package backing opens the backing files of copy-on-write files for virtuml's
// commands. What it must not believe is the header: a guest can make its raw
// disk look like a copy-on-write file over any file of the host, and whoever
// reads or merges that disk would read or write the file for it. It does not
// know what is done with the files.
package backing

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"virtumld/internal/cow"
	"virtumld/internal/virtuml/connect"
)

// Rule says which backing files are opened: the one that the user has named;
// one in the folder of the copy-on-write file itself; one in the folder of a
// pool that the daemon has started. Only the first may be a symbolic link.
type Rule struct {
	// Named is the path that the user has given, "" for none.
	Named string
}

// Define adds the option --backing to a command.
func (r *Rule) Define(cmd *cobra.Command) {
	cmd.Flags().StringVar(&r.Named, "backing", "",
		"path of VOLUME's backing file, needed when it is neither in VOLUME's folder nor in a started pool")
}

// Open opens the backing file of image, an open file, as far as the rule
// allows; flag is os.O_RDONLY or os.O_RDWR. uri leads to the daemon that is
// asked for its pools if need be. The error is cow.ErrNotCOW for another
// file, cow.ErrDamaged for a header without a path, fs.ErrNotExist when the
// backing file is not there, and else says what to do.
func (r *Rule) Open(ctx context.Context, uri string, image *os.File, flag int) (*os.File, error) {
	header, err := cow.ReadHeader(image)
	if err != nil {
		return nil, err
	}
	path := filepath.Clean(header.Backing)
	if !filepath.IsAbs(path) {
		return nil, fmt.Errorf("%w: its backing file %q is not an absolute path; rebase it to one", cow.ErrDamaged, header.Backing)
	}
	if r.Named != "" {
		return r.openNamed(path, flag)
	}
	if !sameFolder(filepath.Dir(path), filepath.Dir(image.Name())) {
		if err := inPool(ctx, uri, filepath.Dir(path)); err != nil {
			// Not %w: that there is no daemon does not mean that there is no file.
			return nil, fmt.Errorf("its header names %q as its backing file, which is neither in its own folder nor in a started pool (%v); "+
				"if a guest has not written that, start a pool for the folder or say --backing %q", path, err, path)
		}
	}
	f, err := open(path, flag|unix.O_NOFOLLOW)
	if errors.Is(err, unix.ELOOP) {
		return nil, fmt.Errorf("its backing file %q is a symbolic link; if that is right, say --backing %q", path, path)
	}
	return f, err
}

// openNamed opens what the user has named, if it is what the header means.
func (r *Rule) openNamed(path string, flag int) (*os.File, error) {
	named, err := filepath.Abs(r.Named)
	if err != nil {
		return nil, err
	}
	if named != path {
		return nil, fmt.Errorf("its header names %q as its backing file, not %q; rebase it to have another", path, named)
	}
	return open(path, flag)
}

// open never waits, as it would for a FIFO's other end, and opens no device.
func open(path string, flag int) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("its backing file %q is not a regular file", path)
	}
	return os.OpenFile(path, flag|unix.O_NONBLOCK, 0)
}

func sameFolder(a, b string) bool {
	first, err := os.Stat(a)
	if err != nil {
		return false
	}
	second, err := os.Stat(b)
	return err == nil && os.SameFile(first, second)
}

// inPool asks the daemon for a started pool of the folder.
func inPool(ctx context.Context, uri, folder string) error {
	l, err := connect.Dial(ctx, uri)
	if err != nil {
		return err
	}
	defer func() { _ = l.Disconnect() }()
	_, err = l.StoragePoolLookupByTargetPath(folder)
	return err
}
