package uml

import (
	"context"
	"errors"
	"io/fs"
	"slices"

	"virtumld/internal/domxml"
	"virtumld/internal/supervisor"
	"virtumld/internal/uml/cmdline"
)

// Volumes finds the volumes of storage pools.
type Volumes interface {
	// VolumePath is the host path of a volume. Its errors are libvirt's: no
	// such pool, a pool that is not active, no such volume.
	VolumePath(ctx context.Context, pool, volume string) (string, error)
}

// resolve returns def with the path of every disk, those of volumes included.
// A volume may have another path at the next start.
func (m *Machine) resolve(ctx context.Context, def *domxml.Definition) (*domxml.Definition, error) {
	return withPaths(def, func(disk *domxml.Disk) (string, error) {
		return m.Volumes.VolumePath(ctx, disk.Pool, disk.Volume)
	})
}

// present is resolve with the files that def's guest has open, when it runs:
// their pools may have been stopped, or have other folders now.
func (m *Machine) present(ctx context.Context, def *domxml.Definition) (*domxml.Definition, error) {
	dir := m.Paths.Guest(def.UUID.String())
	return withPaths(def, func(disk *domxml.Disk) (string, error) {
		path, err := supervisor.HostFile(dir, cmdline.DiskFile(disk.Unit))
		if errors.Is(err, fs.ErrNotExist) {
			return m.Volumes.VolumePath(ctx, disk.Pool, disk.Volume)
		}
		return path, err
	})
}

// withPaths returns def with what path says of each disk that is a volume.
func withPaths(def *domxml.Definition, path func(*domxml.Disk) (string, error)) (*domxml.Definition, error) {
	resolved := *def
	resolved.Disks = slices.Clone(def.Disks)
	for i := range resolved.Disks {
		disk := &resolved.Disks[i]
		if disk.Volume == "" {
			continue
		}
		found, err := path(disk)
		if err != nil {
			return nil, err
		}
		disk.Path = found
	}
	return &resolved, nil
}
