package cow

import (
	"context"
	"errors"
	"io/fs"
	"os"
)

// The tests trust what headers say, so they go by paths.

// opened is a Reader that owns its files.
type opened struct {
	*Reader
	files []*os.File
}

func (o *opened) Close() {
	for _, f := range o.files {
		f.Close()
	}
}

// openPaths opens the COW file at path and the backing file that it names, and
// returns what it has when one of them cannot be opened.
func openPaths(path string, cowFlag, flag int) (cow, backing *os.File, err error) {
	if cow, err = openFile(path, cowFlag); err != nil {
		return nil, nil, err
	}
	h, err := ReadHeader(cow)
	if err != nil {
		return cow, nil, err
	}
	backing, err = openFile(h.Backing, flag)
	return cow, backing, err
}

func closeAll(files ...*os.File) {
	for _, f := range files {
		if f != nil {
			f.Close()
		}
	}
}

func openReader(path string) (*opened, error) {
	cow, backing, err := openPaths(path, os.O_RDONLY, os.O_RDONLY)
	if err != nil {
		closeAll(cow, backing)
		return nil, err
	}
	r, err := NewReader(cow, backing)
	if err != nil {
		closeAll(cow, backing)
		return nil, err
	}
	return &opened{r, []*os.File{cow, backing}}, nil
}

func mergePath(ctx context.Context, path string, progress func(done, total int64)) error {
	cow, backing, err := openPaths(path, os.O_RDWR, os.O_RDWR)
	defer closeAll(cow, backing)
	if err != nil {
		return err
	}
	return Merge(ctx, cow, backing, progress)
}

func copyPath(ctx context.Context, path string, out *os.File) error {
	r, err := openReader(path)
	if err != nil {
		return err
	}
	defer r.Close()
	return r.CopyTo(ctx, out, nil)
}

func rebasePath(ctx context.Context, path, to string, unsafe bool, progress func(done, total int64)) error {
	cow, old, err := openPaths(path, os.O_RDWR, os.O_RDWR)
	if unsafe {
		closeAll(old)
		old = nil
	}
	defer closeAll(cow, old)
	if err != nil && !unsafe {
		return err
	}
	backing, err := openFile(to, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer backing.Close()
	return Rebase(ctx, cow, old, backing, to, progress)
}

func verifyPath(path string) (*Report, error) {
	cow, backing, err := openPaths(path, os.O_RDONLY, os.O_RDONLY)
	defer closeAll(cow, backing)
	if cow == nil || err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ErrDamaged) {
		return nil, err
	}
	return Verify(cow, backing)
}

func repairPath(ctx context.Context, path string, o RepairOptions) (*Report, error) {
	cow, backing, err := openPaths(path, os.O_RDWR, os.O_RDONLY)
	defer closeAll(cow, backing)
	if cow == nil || err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ErrDamaged) {
		return nil, err
	}
	return Repair(ctx, cow, backing, o)
}
