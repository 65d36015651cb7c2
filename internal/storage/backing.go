package storage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	libvirt "github.com/digitalocean/go-libvirt"
	"golang.org/x/sys/unix"

	"virtumld/internal/cow"
	"virtumld/internal/filelock"
	"virtumld/internal/imgformat"
	"virtumld/internal/storagexml"
)

// createCOW makes a COW volume over the backing file that def names, which
// may be in any folder. Nobody writes the backing file meanwhile.
func (s *Pools) createCOW(ctx context.Context, d *dir, j *job, def *storagexml.Volume) error {
	path := backingPath(j.target, def.Backing.Path)
	backing, err := openRegular(path)
	if errors.Is(err, errNoImage) {
		return failf(libvirt.ErrOperationInvalid, "backing store volume %s is not a regular file", path)
	}
	if err != nil {
		return systemErr(err, "inaccessible backing store volume %s", path)
	}
	defer backing.Close()
	if err := lockForReading(backing); err != nil {
		return err
	}
	info, err := usableBacking(backing, def)
	if err != nil {
		return err
	}
	return d.makeFile(ctx, def.Name, def.Perms, func(f *os.File) error {
		err := cow.CreateFile(f, path, info)
		var errno syscall.Errno
		if errors.As(err, &errno) {
			return systemErr(errno, "cannot make volume '%s'", def.Name)
		}
		if err != nil {
			return failf(libvirt.ErrInvalidArg, "cannot make volume '%s': %w", def.Name, err)
		}
		return nil
	})
}

// backingPath is the absolute path of a backing file; a relative one begins at
// the pool's folder.
func backingPath(target, path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(target, path)
}

// usableBacking checks that a guest can read backing as the disk that def
// describes: a COW file is exactly as large as its backing file.
func usableBacking(backing *os.File, def *storagexml.Volume) (os.FileInfo, error) {
	var st unix.Stat_t
	image, err := probe(backing, &st)
	if err != nil {
		return nil, systemErr(err, "cannot read backing store volume %s", backing.Name())
	}
	if image.Format == imgformat.COW {
		return nil, failf(libvirt.ErrConfigUnsupported,
			"backing store volume %s is itself a copy-on-write file, and UML knows no chains: clone its volume, or merge it first", backing.Name())
	}
	if err := imgformat.Usable(image.Format); err != nil {
		return nil, fmt.Errorf("backing store volume %s: %w", backing.Name(), err)
	}
	if def.Capacity > uint64(st.Size) {
		return nil, failf(libvirt.ErrInvalidArg,
			"capacity of %d bytes is more than the %d of the backing store volume %s: a copy-on-write file is as large as its backing file; "+
				"ask for that, or make a raw clone and resize it", def.Capacity, st.Size, backing.Name())
	}
	return backing.Stat()
}

// lockForReading keeps guests from writing f until it is closed.
func lockForReading(f *os.File) error {
	err := filelock.Lock(f, filelock.Shared)
	if errors.Is(err, filelock.ErrHeld) {
		return failf(libvirt.ErrOperationInvalid, "'%s' is being written by a guest or another job; stop that first", f.Name())
	}
	if err != nil {
		return failf(libvirt.ErrSystemError, "%w", err)
	}
	return nil
}

// openForWriting opens a volume's file so that neither a guest nor a new COW
// file uses it until it is closed.
func (d *dir) openForWriting(name string) (*os.File, error) {
	f, err := d.open(name, unix.O_RDWR)
	if err != nil {
		return nil, err
	}
	if err := regular(f); err != nil {
		f.Close()
		return nil, err
	}
	err = filelock.Lock(f, filelock.Exclusive)
	if err == nil {
		return f, nil
	}
	f.Close()
	if errors.Is(err, filelock.ErrHeld) {
		return nil, failf(libvirt.ErrOperationInvalid,
			"volume '%s' is still in use by a guest or another job; stop that first", name)
	}
	return nil, failf(libvirt.ErrSystemError, "%w", err)
}

// openForReading opens a volume's file.
func (d *dir) openForReading(name string) (*os.File, error) {
	f, err := d.open(name, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	if err := regular(f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func regular(f *os.File) error {
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errNoImage
	}
	return err
}

// checkNoClones refuses to change a volume that COW volumes are made over. The
// caller has it open for writing, so that nobody makes one meanwhile.
func (s *Pools) checkNoClones(info *storagexml.Volume) error {
	file, err := os.Lstat(info.Path)
	if err != nil {
		return nil // gone, so there is nothing to protect
	}
	for backing, clone := range s.clonesBeside(info.Path) {
		if backing != info.Path {
			other, err := os.Stat(backing)
			if err != nil || !os.SameFile(file, other) {
				continue
			}
		}
		return failf(libvirt.ErrOperationInvalid,
			"volume '%s' is the backing file of %s; delete or rebase those first", info.Name, clone)
	}
	return nil
}

// clonesBeside are the backing files of all active pools' COW volumes but that
// at path, which may name itself; those that are just being made too, each with
// one that has it.
func (s *Pools) clonesBeside(path string) map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := map[string]string{}
	for _, p := range s.byName {
		for name, v := range p.volumes {
			if v.info.Backing != nil && v.info.Path != path {
				found[v.info.Backing.Path] = fmt.Sprintf("'%s' in pool '%s'", name, p.def.Name)
			}
		}
	}
	return found
}

// mergedImage is what a guest would see of a COW volume.
type mergedImage struct {
	*cow.Reader
	files []*os.File
}

func (m *mergedImage) Close() error { return closeAll(m.files) }

func closeAll(files []*os.File) error {
	var errs []error
	for _, f := range files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// openMerged opens the COW volume of which f is the file; Close of the result
// closes f, too. The backing file must be in the folder of an active pool, and
// nobody may be writing it: the header may name any file of the host, and a
// guest may have written it into its raw disk.
func (s *Pools) openMerged(f *os.File, info *storagexml.Volume) (*mergedImage, error) {
	files := []*os.File{f}
	merged, err := s.readerOver(&files, info)
	if err != nil {
		return nil, errors.Join(err, closeAll(files))
	}
	return &mergedImage{merged, files}, nil
}

// readerOver adds the backing file to files, which holds the COW file.
func (s *Pools) readerOver(files *[]*os.File, info *storagexml.Volume) (*cow.Reader, error) {
	h, err := cow.ReadHeader((*files)[0])
	if err != nil {
		return nil, failf(libvirt.ErrOperationFailed, "volume '%s': %w", info.Name, err)
	}
	backing, err := s.openPooled(h.Backing, info.Name)
	if err != nil {
		return nil, err
	}
	*files = append(*files, backing)
	if err := lockForReading(backing); err != nil {
		return nil, err
	}
	merged, err := cow.NewReader((*files)[0], backing)
	if err != nil {
		return nil, failf(libvirt.ErrOperationFailed, "volume '%s': %w", info.Name, err)
	}
	return merged, nil
}

// openPooled opens the backing file of volume for reading.
func (s *Pools) openPooled(path, volume string) (*os.File, error) {
	folder, name := filepath.Split(filepath.Clean(path))
	folder = filepath.Clean(folder)
	s.mu.Lock()
	pool := s.activeAt(folder)
	s.mu.Unlock()
	if pool == nil {
		return nil, failf(libvirt.ErrOperationInvalid,
			"volume '%s' has the backing file %s, which is in no active pool: define and start a pool for the folder %s", volume, path, folder)
	}
	d, err := openDir(folder)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	f, err := d.open(name, unix.O_RDONLY)
	if err != nil {
		return nil, systemErr(err, "inaccessible backing store volume %s", path)
	}
	return f, nil
}
