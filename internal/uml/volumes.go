package uml

import (
	"context"
	"slices"

	"virtumld/internal/domxml"
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
	resolved := *def
	resolved.Disks = slices.Clone(def.Disks)
	for i := range resolved.Disks {
		disk := &resolved.Disks[i]
		if disk.Volume == "" {
			continue
		}
		path, err := m.Volumes.VolumePath(ctx, disk.Pool, disk.Volume)
		if err != nil {
			return nil, err
		}
		disk.Path = path
	}
	return &resolved, nil
}
