package storage

import (
	"context"
	"errors"
	"io"
	"os"
	"syscall"

	libvirt "github.com/digitalocean/go-libvirt"
	"golang.org/x/sys/unix"

	"virtumld/internal/imgformat"
	"virtumld/internal/storagexml"
	"virtumld/internal/virerr"
)

// CloneVolume makes a volume with the content of another: a copy in the same
// format, raw from what a guest sees of a cow volume, or a cow volume over its
// source. Nobody writes the source meanwhile.
func (s *Pools) CloneVolume(ctx context.Context, spec PoolSpec, def *storagexml.Volume, fromPool PoolSpec, from string, o CreateOptions) (VolumeView, error) {
	source, err := s.reading(fromPool, from)
	if err != nil {
		return VolumeView{}, err
	}
	defer source.end(nil)
	if source.kind != kindFile || def.Format == imgformat.Dir {
		return VolumeView{}, failf(libvirt.ErrInternalError, "cannot copy from volume to a directory volume")
	}
	def, err = checkClone(def, source.info, o)
	if err != nil {
		return VolumeView{}, err
	}
	view, err := s.build1(spec, def, func(d *dir, j *job) error {
		if def.Format == imgformat.COW && source.info.Format == imgformat.Raw {
			return s.createCOW(ctx, d, j, def)
		}
		return s.copyVolume(ctx, d, def, source, o)
	})
	if virerr.Is(err, libvirt.ErrStorageVolExist) {
		// libvirt has another code here than for a new volume.
		err = failf(libvirt.ErrInternalError, "storage volume name '%s' already in use.", def.Name)
	}
	return view, err
}

// checkClone returns def with the defaults that its source gives it.
func checkClone(def, source *storagexml.Volume, o CreateOptions) (*storagexml.Volume, error) {
	filled := *def
	if filled.Format == "" {
		filled.Format = imgformat.Raw
	}
	if filled.Format == imgformat.Raw || filled.Format != source.Format {
		return checkConversion(&filled, source, o)
	}
	// A copy of the file in a format that has its capacity inside.
	if filled.Capacity > source.Capacity {
		return nil, failf(libvirt.ErrOperationUnsupported,
			"a '%s' volume cannot become larger than its source, %d bytes; clone it to a raw volume", source.Format, source.Capacity)
	}
	if filled.Backing != nil && (source.Backing == nil || filled.Backing.Path != source.Backing.Path) {
		return nil, failf(libvirt.ErrInternalError, "a different backing store cannot be specified.")
	}
	if o.PreallocateMetadata {
		return nil, failf(libvirt.ErrConfigUnsupported, "metadata preallocation only available with qcow2")
	}
	if reason := checkName(def.Name); reason != "" {
		return nil, failf(libvirt.ErrOperationInvalid, "volume name '%s' %s", def.Name, reason)
	}
	filled.Capacity, filled.Allocation = source.Capacity, 0
	return &filled, nil
}

func checkConversion(filled, source *storagexml.Volume, o CreateOptions) (*storagexml.Volume, error) {
	filled.Capacity = max(filled.Capacity, source.Capacity)
	filled, err := checkVolume(filled, o)
	if err != nil {
		return nil, err
	}
	switch {
	case filled.Format == imgformat.COW && source.Format != imgformat.Raw:
		return nil, failf(libvirt.ErrConfigUnsupported, "volume '%s' of format '%s' cannot back a cow volume; clone it to a raw one first", source.Name, source.Format)
	case filled.Format == imgformat.COW && filled.Backing.Path != source.Path:
		return nil, failf(libvirt.ErrConfigUnsupported,
			"a cow clone of volume '%s' is made over it: give '%s' as the path of the <backingStore>", source.Name, source.Path)
	case filled.Format == imgformat.Raw && source.Format != imgformat.Raw && source.Format != imgformat.COW:
		return nil, failf(libvirt.ErrConfigUnsupported,
			"volume '%s' of format '%s' cannot be cloned to raw; convert it with 'qemu-img convert -O raw' and upload the result", source.Name, source.Format)
	}
	return filled, nil
}

// copyVolume makes def's file from source's.
func (s *Pools) copyVolume(ctx context.Context, d *dir, def *storagexml.Volume, source *job, o CreateOptions) error {
	from, err := openDir(source.target)
	if err != nil {
		return err
	}
	defer from.Close()
	f, err := from.openForReading(source.info.Name)
	if err != nil {
		return systemErr(err, "could not open input path '%s'", source.info.Path)
	}
	defer f.Close()
	if err := lockForReading(f); err != nil {
		return err
	}
	return d.makeFile(ctx, def.Name, def.Perms, func(to *os.File) error {
		path := d.join(def.Name)
		if def.Format == imgformat.Raw && source.info.Format == imgformat.COW {
			if o.Reflink {
				return systemErr(unix.EOPNOTSUPP, "failed to clone files from '%s'", source.info.Path)
			}
			return s.merge(ctx, to, f, path, def, source.info)
		}
		return copyFile(ctx, to, f, path, def, o.Reflink)
	})
}

// merge writes into the empty file to what a guest sees of the COW file from.
// Blocks are shared where the filesystem can do that, or else holes are kept.
func (s *Pools) merge(ctx context.Context, to, from *os.File, path string, def, source *storagexml.Volume) error {
	files := []*os.File{from} // which the caller closes
	merged, err := s.readerOver(&files, source)
	defer func() { closeAll(files[1:]) }()
	if err != nil {
		return err
	}
	if err := merged.CopyTo(ctx, to, nil); err != nil {
		return copyErr(ctx, err, source.Path, path)
	}
	if err := to.Truncate(int64(def.Capacity)); err != nil {
		return systemErr(err, "cannot extend file '%s'", path)
	}
	if all := wanted(def, source.Capacity); all > 0 {
		return fillHoles(ctx, to, path, merged.Size(), int64(all))
	}
	return nil
}

// copyErr is the error of a copy, whose own text names a file that is gone by
// then.
func copyErr(ctx context.Context, err error, from, to string) error {
	var errno syscall.Errno
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &errno):
		return systemErr(errno, "cannot copy '%s' to '%s'", from, to)
	default:
		return failf(libvirt.ErrOperationFailed, "cannot copy '%s' to '%s': %w", from, to, err)
	}
}

// copyFile makes the empty file to a copy of from, which may be shorter.
// Blocks are shared where the filesystem can do that, or else holes are kept.
func copyFile(ctx context.Context, to, from *os.File, path string, def *storagexml.Volume, reflink bool) error {
	info, err := from.Stat()
	if err != nil {
		return systemErr(err, "stat of '%s' failed", from.Name())
	}
	length, allocation := max(info.Size(), 0), uint64(0)
	if def.Format == imgformat.Raw {
		length, allocation = max(length, int64(def.Capacity)), wanted(def, uint64(length))
	}
	err = unix.IoctlFileClone(int(to.Fd()), int(from.Fd()))
	if err == nil {
		return extend(ctx, to, path, uint64(length), allocation)
	}
	if reflink {
		return systemErr(err, "failed to clone files from '%s'", from.Name())
	}
	if err := extend(ctx, to, path, uint64(length), allocation); err != nil {
		return err
	}
	return copyExtents(ctx, to, from, path, info.Size())
}

// wanted is how many bytes of a copy get blocks at once: as in libvirt none
// when the allocation that was asked for is less than the source's capacity.
func wanted(def *storagexml.Volume, sourceCapacity uint64) uint64 {
	if def.Allocation < sourceCapacity {
		return 0
	}
	return def.Allocation
}

var errNoHoles = errors.New("the filesystem knows no holes")

// nextExtent returns the first extent of data at or after at; io.EOF says that
// only a hole follows.
func nextExtent(f *os.File, at, size int64) (start, end int64, err error) {
	start, err = unix.Seek(int(f.Fd()), at, unix.SEEK_DATA)
	if errors.Is(err, unix.ENXIO) {
		return 0, 0, io.EOF
	}
	if errors.Is(err, unix.EINVAL) {
		return 0, 0, errNoHoles
	}
	if err != nil {
		return 0, 0, err
	}
	end, err = unix.Seek(int(f.Fd()), start, unix.SEEK_HOLE)
	if err != nil {
		return 0, 0, err
	}
	if start >= size { // the file has become longer
		return 0, 0, io.EOF
	}
	return start, min(end, size), nil
}
