package daemon

import (
	"testing"

	libvirt "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"

	"virtumld/internal/storage"
	"virtumld/internal/storagexml"
	"virtumld/internal/virerr"
)

// onePool has the volume "v" in the pool "p".
type onePool struct {
	id     uuid.UUID
	active bool
}

func (o onePool) PoolByName(name string) (storage.PoolView, error) {
	if name != "p" {
		return storage.PoolView{}, virerr.In(virerr.Storage, libvirt.ErrNoStoragePool, "%s", name)
	}
	return storage.PoolView{Pool: &storagexml.Pool{Name: name, UUID: o.id}, Active: o.active}, nil
}

func (o onePool) Volume(pool storage.PoolSpec, name string) (storage.VolumeView, error) {
	if name != "v" || pool.UUID != o.id {
		return storage.VolumeView{}, virerr.In(virerr.Storage, libvirt.ErrNoStorageVol, "%s", name)
	}
	return storage.VolumeView{Volume: &storagexml.Volume{Path: "/pool/v"}}, nil
}

func TestVolumePath(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		active       bool
		pool, volume string
		path         string
		code         libvirt.ErrorNumber
	}{
		"found":     {true, "p", "v", "/pool/v", 0},
		"no pool":   {true, "q", "v", "", libvirt.ErrNoStoragePool},
		"no volume": {true, "p", "w", "", libvirt.ErrNoStorageVol},
		"inactive":  {false, "p", "v", "", libvirt.ErrConfigUnsupported},
	} {
		pools := onePool{id: uuid.New(), active: test.active}
		path, err := volumes{pools}.VolumePath(t.Context(), test.pool, test.volume)
		if path != test.path || (err == nil) != (test.code == 0) || (err != nil && !virerr.Is(err, test.code)) {
			t.Errorf("%s: got %q, %v; want %q, code %d", name, path, err, test.path, test.code)
		}
	}
}
