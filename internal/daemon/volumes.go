package daemon

import (
	"context"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/storage"
	"virtumld/internal/virerr"
)

// volumes finds the disks of guests that are volumes of storage pools.
type volumes struct {
	pools interface {
		PoolByName(name string) (storage.PoolView, error)
		Volume(pool storage.PoolSpec, name string) (storage.VolumeView, error)
	}
}

// VolumePath is where a volume is on the host. Its errors are those of libvirt
// (src/conf/domain_conf.c, virDomainStorageSourceTranslateSourcePool).
func (v volumes) VolumePath(_ context.Context, pool, volume string) (string, error) {
	p, err := v.pools.PoolByName(pool)
	if err != nil {
		return "", err
	}
	if !p.Active {
		return "", virerr.New(libvirt.ErrConfigUnsupported, "storage pool '%s' containing volume '%s' is not active", pool, volume)
	}
	found, err := v.pools.Volume(storage.PoolSpec{Name: p.Name, UUID: p.UUID}, volume)
	if err != nil {
		return "", err
	}
	return found.Path, nil
}
