package storage

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"

	libvirt "github.com/digitalocean/go-libvirt"
	"golang.org/x/sys/unix"

	"virtumld/internal/imgformat"
	"virtumld/internal/storagexml"
)

const (
	// zeroChunk is how many zeros are written at once, and fallocateChunk how
	// much is allocated at once, in bytes: between them ctx is looked at.
	zeroChunk      = 1 << 20
	fallocateChunk = 1 << 30
)

// CreateVolume makes an empty volume: of format raw, cow or dir.
func (s *Pools) CreateVolume(ctx context.Context, spec PoolSpec, def *storagexml.Volume, o CreateOptions) (VolumeView, error) {
	def, err := checkVolume(def, o)
	if err != nil {
		return VolumeView{}, err
	}
	return s.build1(spec, def, func(d *dir, j *job) error {
		switch def.Format {
		case imgformat.Dir:
			return d.makeFolder(def)
		case imgformat.COW:
			return s.createCOW(ctx, d, j, def)
		default:
			return d.makeFile(ctx, def.Name, def.Perms, func(f *os.File) error {
				return extend(ctx, f, d.join(def.Name), def.Capacity, def.Allocation)
			})
		}
	})
}

// build1 has one volume made by build, which others see as being allocated
// meanwhile.
func (s *Pools) build1(spec PoolSpec, def *storagexml.Volume, build func(*dir, *job) error) (VolumeView, error) {
	j, err := s.building(spec, def)
	if err != nil {
		return VolumeView{}, err
	}
	made, err := j.build(def, build)
	if err != nil {
		j.removed()
		return VolumeView{}, err
	}
	j.end(made)
	s.mu.Lock()
	defer s.mu.Unlock()
	return made.view(j.pool), nil
}

func (j *job) build(def *storagexml.Volume, build func(*dir, *job) error) (*volume, error) {
	d, err := openDir(j.target)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	if _, err := d.stat(def.Name); !errors.Is(err, unix.ENOENT) {
		return nil, failf(libvirt.ErrOperationInvalid, "volume target path '%s' already exists", d.join(def.Name))
	}
	if err := build(d, j); err != nil {
		return nil, err
	}
	made, err := d.inspect(def.Name)
	if err != nil {
		return nil, systemErr(err, "cannot read header '%s'", d.join(def.Name))
	}
	return made, nil
}

// checkVolume returns def with libvirt's defaults, or why it cannot be made.
func checkVolume(def *storagexml.Volume, o CreateOptions) (*storagexml.Volume, error) {
	filled := *def
	if filled.Format == "" {
		filled.Format = imgformat.Raw
	}
	if !filled.HasAllocation || filled.Allocation > filled.Capacity {
		filled.Allocation = filled.Capacity
	}
	if reason := checkName(def.Name); reason != "" {
		return nil, failf(libvirt.ErrOperationInvalid, "volume name '%s' %s", def.Name, reason)
	}
	if err := checkCapacity(def.Capacity); err != nil {
		return nil, err
	}
	backed := filled.Backing != nil && filled.Backing.Path != ""
	switch filled.Format {
	case imgformat.Raw:
		if o.PreallocateMetadata {
			return nil, failf(libvirt.ErrConfigUnsupported, "metadata preallocation is not supported for raw volumes")
		}
		if backed {
			return nil, failf(libvirt.ErrNoSupport, "backing storage not supported for raw volumes")
		}
	case imgformat.COW:
		if o.PreallocateMetadata {
			return nil, failf(libvirt.ErrConfigUnsupported, "metadata preallocation only available with qcow2")
		}
		if !backed {
			return nil, failf(libvirt.ErrConfigUnsupported,
				"volume '%s' of format 'cow' needs a <backingStore>: name the raw volume that it is a clone of", def.Name)
		}
	case imgformat.Dir:
		if backed {
			return nil, failf(libvirt.ErrNoSupport, "backing storage not supported for directories volumes")
		}
	default:
		return nil, fmt.Errorf("volume '%s' cannot be made in format '%s': %w", def.Name, def.Format, imgformat.Usable(def.Format))
	}
	return &filled, nil
}

// checkCapacity refuses what no file can be as long as: 8 EiB and more.
func checkCapacity(bytes uint64) error {
	if bytes > math.MaxInt64 {
		return failf(libvirt.ErrInvalidArg, "capacity of %d bytes is too large: a file has less than 8 EiB", bytes)
	}
	return nil
}

// makeFolder makes a volume of format dir.
func (d *dir) makeFolder(def *storagexml.Volume) error {
	if err := unix.Mkdirat(d.fd(), def.Name, 0o700); err != nil {
		return systemErr(err, "failed to create directory '%s'", d.join(def.Name))
	}
	err := d.setFolderPerms(def)
	if err != nil {
		err = errors.Join(err, d.rmdir(def.Name))
	}
	return err
}

func (d *dir) setFolderPerms(def *storagexml.Volume) error {
	f, err := d.open(def.Name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return systemErr(err, "stat of '%s' failed", d.join(def.Name))
	}
	defer f.Close()
	return setPerms(f, d.join(def.Name), def.Perms, 0o600)
}

// extend gives the empty file f its length, and blocks to the first
// allocation bytes. path is its name to be.
func extend(ctx context.Context, f *os.File, path string, capacity, allocation uint64) error {
	if err := f.Truncate(int64(capacity)); err != nil {
		return systemErr(err, "cannot extend file '%s'", path)
	}
	return allocate(ctx, f, path, 0, int64(allocation))
}

// allocate gives blocks to the bytes of f from start to end; where the
// filesystem cannot do that, zeros are written, so f must be empty there.
func allocate(ctx context.Context, f *os.File, path string, start, end int64) error {
	for start < end {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(end-start, fallocateChunk)
		err := unix.Fallocate(int(f.Fd()), 0, start, n)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS):
			return writeZeros(ctx, f, path, start, end)
		case err != nil:
			return systemErr(err, "cannot allocate %d bytes in file '%s'", end, path)
		}
		start += n
	}
	return nil
}

func writeZeros(ctx context.Context, f *os.File, path string, start, end int64) error {
	zeros := make([]byte, min(end-start, zeroChunk))
	for start < end {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := f.WriteAt(zeros[:min(end-start, zeroChunk)], start)
		if err != nil {
			return systemErr(err, "cannot fill file '%s'", path)
		}
		start += int64(n)
	}
	return nil
}
