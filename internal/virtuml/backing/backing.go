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
	// From here on the folder is what was looked at, whatever its path comes
	// to lead to.
	folder, err := os.OpenFile(filepath.Dir(path), os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	if !sameFolder(folder, filepath.Dir(image.Name())) {
		if err := inPool(ctx, uri, folder.Name()); err != nil {
			// Not %w: that there is no daemon does not mean that there is no file.
			return nil, fmt.Errorf("its header names %q as its backing file, which is neither in its own folder nor in a started pool (%v); "+
				"if a guest has not written that, start a pool for the folder or say --backing %q", path, err, path)
		}
	}
	f, err := openIn(folder, filepath.Base(path), flag)
	if errors.Is(err, unix.ELOOP) {
		return nil, fmt.Errorf("its backing file %q is a symbolic link; if that is right, say --backing %q", path, path)
	}
	return f, err
}

// openIn opens the entry name of folder, never through a symbolic link.
func openIn(folder *os.File, name string, flag int) (*os.File, error) {
	path := filepath.Join(folder.Name(), name)
	fd, err := unix.Openat(int(folder.Fd()), name, flag|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return regular(os.NewFile(uintptr(fd), path))
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
	f, err := os.OpenFile(path, flag|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	return regular(f)
}

// regular closes f again when it is a device, a folder or the like.
func regular(f *os.File) (*os.File, error) {
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("its backing file %q is not a regular file", f.Name())
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

func sameFolder(folder *os.File, path string) bool {
	first, err := folder.Stat()
	if err != nil {
		return false
	}
	second, err := os.Stat(path)
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
