package storage

import (
	"context"
	"errors"
	"os"

	libvirt "github.com/digitalocean/go-libvirt"
	"golang.org/x/sys/unix"

	"virtumld/internal/cow"
	"virtumld/internal/imgformat"
	"virtumld/internal/storagexml"
)

// libvirt's virStorageVolWipeAlgorithm.
const (
	wipeZero = 0
	wipeTrim = 9
	wipeLast = 10
)

// change has do change a volume's file, which neither a guest nor a COW volume
// uses meanwhile, and describes the volume anew whatever came of it.
func (s *Pools) change(spec PoolSpec, name string, do func(*job, *os.File) error) error {
	j, err := s.writing(spec, name)
	if err != nil {
		return err
	}
	var after *volume
	defer func() { j.end(after) }()
	d, err := openDir(j.target)
	if err != nil {
		return err
	}
	defer d.Close()
	f, err := d.openForWriting(name)
	if err != nil {
		return systemErrUnlessOurs(err, "Unable to open '%s'", j.info.Path)
	}
	defer f.Close()
	if err := s.checkNoClones(j.info); err != nil {
		return err
	}
	err = do(j, f)
	after = j.inspect()
	return err
}

// inspect describes the volume anew; nil when it cannot be read.
func (j *job) inspect() *volume {
	d, err := openDir(j.target)
	if err != nil {
		return nil
	}
	defer d.Close()
	v, err := d.inspect(j.info.Name)
	if err != nil {
		j.s.cfg.Log.Warn("storage volume cannot be read", "volume", j.info.Path, "error", err)
		return nil
	}
	return v
}

// DeleteVolume removes a volume's file, or its folder, which must be empty.
func (s *Pools) DeleteVolume(ctx context.Context, spec PoolSpec, name string) error {
	j, err := s.writing(spec, name)
	if err != nil {
		return err
	}
	if err := s.remove(ctx, j); err != nil {
		j.end(nil)
		return err
	}
	j.removed()
	return nil
}

func (s *Pools) remove(ctx context.Context, j *job) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	d, err := openDir(j.target)
	if err != nil {
		return err
	}
	defer d.Close()
	if j.kind == kindDir {
		if err := d.rmdir(j.info.Name); err != nil && !errors.Is(err, unix.ENOENT) {
			return systemErr(err, "cannot remove directory '%s'", j.info.Path)
		}
		return nil
	}
	f, err := d.openForWriting(j.info.Name)
	switch {
	case err == nil:
		defer f.Close()
	case errors.Is(err, unix.ENOENT):
		return nil
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM), errors.Is(err, unix.EROFS):
		// Who may not write the file runs no guest that does.
	default:
		return systemErrUnlessOurs(err, "cannot unlink file '%s'", j.info.Path)
	}
	if err := s.checkNoClones(j.info); err != nil {
		return err
	}
	if err := d.unlink(j.info.Name); err != nil && !errors.Is(err, unix.ENOENT) {
		return systemErr(err, "cannot unlink file '%s'", j.info.Path)
	}
	return nil
}

// WipeVolume makes a volume's content unreadable. Of a cow volume it is the
// volume's own content: it then reads as its backing file, as when it was new.
func (s *Pools) WipeVolume(ctx context.Context, spec PoolSpec, name string, algorithm int32) error {
	if algorithm < 0 || algorithm >= wipeLast {
		return failf(libvirt.ErrInvalidArg, "wiping algorithm %d not supported", algorithm)
	}
	return s.change(spec, name, func(j *job, f *os.File) error {
		if algorithm != wipeZero && algorithm != wipeTrim {
			return systemErr(unix.ENOENT, "Cannot find 'scrub' in path")
		}
		info, err := f.Stat()
		if err != nil {
			return systemErr(err, "Failed to stat storage volume with path '%s'", j.info.Path)
		}
		start := int64(0)
		if j.info.Format == imgformat.COW {
			h, err := cow.ReadHeader(f)
			if err != nil {
				return failf(libvirt.ErrOperationFailed, "volume '%s': %w", name, err)
			}
			start = min(int64(h.BitmapOffset()), info.Size())
		}
		return wipe(ctx, f, j.info, start, info.Size(), algorithm == wipeTrim)
	})
}

// wipe clears the bytes from start to end. As in libvirt a file with holes
// gets one large hole, and blocks are overwritten when there are no holes.
func wipe(ctx context.Context, f *os.File, v *storagexml.Volume, start, end int64, trim bool) error {
	if start == end {
		return nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return systemErr(err, "Failed to stat storage volume with path '%s'", v.Path)
	}
	if trim || st.Blocks < st.Size/512 {
		return wrapSystem(clearHole(f, start, end), "Failed to wipe volume with path '%s'", v.Path)
	}
	if err := writeZeros(ctx, f, v.Path, start, end); err != nil {
		return err
	}
	return wrapSystem(f.Sync(), "cannot sync data to volume with path '%s'", v.Path)
}

// clearHole gives up the blocks from start to end, which is the file's end.
func clearHole(f *os.File, start, end int64) error {
	err := punch(f, start, end-start)
	if !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.ENOSYS) {
		return err
	}
	if err := f.Truncate(start); err != nil {
		return err
	}
	return f.Truncate(end)
}

// punch makes a hole of n bytes, which must be within the file.
func punch(f *os.File, at, n int64) error {
	for {
		err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, at, n)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// ResizeVolume sets the capacity of a raw volume, in bytes. allocate gives
// blocks to all of it; a smaller capacity needs shrink.
func (s *Pools) ResizeVolume(ctx context.Context, spec PoolSpec, name string, capacity uint64, allocate, shrink bool) error {
	if err := checkCapacity(capacity); err != nil {
		return err
	}
	return s.change(spec, name, func(j *job, f *os.File) error {
		switch j.info.Format {
		case imgformat.Raw:
		case imgformat.COW:
			return failf(libvirt.ErrOperationUnsupported,
				"volume '%s' of format 'cow' is as large as its backing file and cannot be resized; clone it to a raw volume, and resize that", name)
		default:
			return failf(libvirt.ErrOperationUnsupported, "volume '%s' of format '%s' cannot be resized; use 'qemu-img resize'", name, j.info.Format)
		}
		var st unix.Stat_t
		if err := unix.Fstat(int(f.Fd()), &st); err != nil {
			return systemErr(err, "stat of '%s' failed", j.info.Path)
		}
		if err := s.checkResize(j, &st, capacity, allocate, shrink); err != nil {
			return err
		}
		return resize(ctx, f, j.info.Path, st.Size, int64(capacity), allocate)
	})
}

// checkResize has libvirt's conditions (storageVolResize).
func (s *Pools) checkResize(j *job, st *unix.Stat_t, capacity uint64, allocate, shrink bool) error {
	allocation := uint64(st.Blocks) * 512
	switch {
	case capacity < allocation:
		return failf(libvirt.ErrInvalidArg, "can't shrink capacity below existing allocation")
	case capacity < uint64(st.Size) && !shrink:
		return failf(libvirt.ErrInvalidArg, "Can't shrink capacity below current capacity unless shrink flag explicitly specified")
	case !allocate:
		return nil
	}
	stats, err := statsOf(j.target)
	if err != nil {
		return err
	}
	if capacity-allocation > stats.Available {
		return failf(libvirt.ErrOperationFailed, "Not enough space left in storage pool")
	}
	return nil
}

// resize gives f its new length, or leaves the old one.
func resize(ctx context.Context, f *os.File, path string, old, capacity int64, allocated bool) error {
	if err := f.Truncate(capacity); err != nil {
		return systemErr(err, "Failed to truncate file '%s'", path)
	}
	if !allocated {
		return nil
	}
	err := fillHoles(ctx, f, path, old, capacity)
	if err != nil && old < capacity {
		err = errors.Join(err, f.Truncate(old))
	}
	return err
}

// fillHoles gives blocks to all of f. Where the filesystem cannot, zeros are
// written behind the old content only.
func fillHoles(ctx context.Context, f *os.File, path string, old, capacity int64) error {
	err := unix.Fallocate(int(f.Fd()), 0, 0, min(capacity, 1))
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return writeZeros(ctx, f, path, old, capacity)
	}
	return allocate(ctx, f, path, 0, capacity)
}

// wrapSystem is systemErr for what may be nil.
func wrapSystem(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return systemErr(err, format, args...)
}
