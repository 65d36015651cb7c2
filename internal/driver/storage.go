package driver

import (
	libvirt "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"

	"virtumld/internal/storage"
	"virtumld/internal/virerr"
)

// checkStorageFlags is checkFlags for a function of the storage API.
func checkStorageFlags[F ~uint32 | ~int32](flags, supported F, function string) error {
	return checkFlagsOf(virerr.Storage, flags, supported, function)
}

// poolSpec is the pool that a client's object stands for.
func poolSpec(p libvirt.StoragePool) storage.PoolSpec {
	return storage.PoolSpec{Name: p.Name, UUID: uuid.UUID(p.UUID)}
}

func specOf(v storage.PoolView) storage.PoolSpec {
	return storage.PoolSpec{Name: v.Name, UUID: v.UUID}
}

// poolObject is what clients hold of a pool.
func poolObject(s storage.PoolSpec) libvirt.StoragePool {
	return libvirt.StoragePool{Name: s.Name, UUID: libvirt.UUID(s.UUID)}
}

// volumeObject is what clients hold of a volume.
func volumeObject(v storage.VolumeView) libvirt.StorageVol {
	return libvirt.StorageVol{Pool: v.Pool, Name: v.Name, Key: v.Key}
}

// poolOf is the pool of a client's volume, which names it without a uuid.
func (c *Conn) poolOf(vol libvirt.StorageVol) (storage.PoolSpec, error) {
	v, err := c.driver.storage.PoolByName(vol.Pool)
	if err != nil {
		return storage.PoolSpec{}, err
	}
	return specOf(v), nil
}

// volume is the volume that a client's object stands for; libvirt goes by the
// names.
func (c *Conn) volume(vol libvirt.StorageVol) (storage.PoolSpec, storage.VolumeView, error) {
	pool, err := c.poolOf(vol)
	if err != nil {
		return pool, storage.VolumeView{}, err
	}
	v, err := c.driver.storage.Volume(pool, vol.Name)
	return pool, v, err
}
