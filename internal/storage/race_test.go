package storage_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/storage"
	"virtumld/internal/virerr"
)

// Of many clients that make one volume at the same time one does.
func TestOneNameOneVolume(t *testing.T) {
	i, ctx := open(t), t.Context()
	spec := i.pool("p")
	const clients = 8
	results := make(chan error)
	for range clients {
		go func() {
			_, err := i.CreateVolume(ctx, spec, raw("disk", 1<<20), storage.CreateOptions{})
			results <- err
		}()
	}
	made := 0
	for range clients {
		if err := <-results; err == nil {
			made++
		} else {
			refused(t, err, libvirt.ErrStorageVolExist, "storage volume 'disk' exists already")
		}
	}
	equal(t, "volumes made", made, 1)
}

// Everything at once: no call sees a state that cannot be, and events come in
// an order that can be.
func TestEverythingAtOnce(t *testing.T) {
	i, ctx := open(t), t.Context()
	spec := i.pool("p")
	i.told()
	var workers sync.WaitGroup
	for w := range 4 {
		workers.Go(func() {
			name := fmt.Sprintf("disk%d", w)
			for range 20 {
				i.CreateVolume(ctx, spec, raw(name, 8192), storage.CreateOptions{})
				i.CloneVolume(ctx, spec, raw(name+"-copy", 0), spec, name, storage.CreateOptions{})
				if u, err := i.Upload(ctx, spec, name, 0, 0); err == nil {
					u.Write([]byte("x"))
					u.Finish()
				}
				if _, err := i.Volume(spec, name); err != nil && !virerr.Is(err, libvirt.ErrNoStorageVol) && !virerr.Is(err, libvirt.ErrOperationInvalid) {
					t.Error(err)
				}
				i.DeleteVolume(ctx, spec, name)
				i.DeleteVolume(ctx, spec, name+"-copy")
			}
		})
	}
	workers.Go(func() {
		for range 40 {
			i.RefreshPool(ctx, spec)
			i.StopPool(ctx, spec)
			i.Pools.Pools()
			i.StartPool(ctx, spec, storage.BuildOptions{})
		}
	})
	workers.Wait()
	if view, err := i.Pool(spec); err != nil || !view.Active {
		t.Fatalf("the pool is %+v, %v", view, err)
	}
	must(t, i.RefreshPool(ctx, spec))
	equal(t, "volumes", i.names(spec), entries(t, filepath.Join(i.dir, "p")))

	active := true
	for _, event := range strings.Split(i.told(), ", ") {
		switch event {
		case "p started":
			if active {
				t.Error("started twice")
			}
			active = true
		case "p stopped":
			if !active {
				t.Error("stopped twice")
			}
			active = false
		case "p refreshed":
			if !active {
				t.Error("refreshed while stopped")
			}
		}
	}
}
