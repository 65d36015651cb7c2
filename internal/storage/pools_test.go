package storage_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/storage"
	"virtumld/internal/storagexml"
)

func TestLifeOfAPool(t *testing.T) {
	i, ctx := open(t), t.Context()
	def := definition("p", filepath.Join(i.dir, "a", "b"))
	spec := storage.PoolSpec{Name: "p", UUID: def.UUID}

	_, err := i.DefinePool(ctx, def)
	must(t, err)
	refused(t, i.StartPool(ctx, spec, storage.BuildOptions{}), libvirt.ErrSystemError, "cannot open directory '"+def.Target+"': no such file or directory")
	must(t, i.BuildPool(ctx, spec, storage.BuildOptions{}))
	info, err := os.Stat(def.Target)
	must(t, err)
	equal(t, "mode of the folder", info.Mode().Perm(), 0o711)
	must(t, i.SetPoolAutostart(ctx, spec, true))
	must(t, i.StartPool(ctx, spec, storage.BuildOptions{}))
	equal(t, "events", i.told(), "p defined, p created, p started")

	view, err := i.Pool(spec)
	must(t, err)
	if !view.Active || !view.Persistent || !view.Autostart || view.Stats.Capacity == 0 ||
		view.Stats.Capacity != view.Stats.Allocation+view.Stats.Available || view.Perms.Mode == nil || *view.Perms.Mode != 0o711 {
		t.Errorf("view of an active pool: %+v", view)
	}
	refused(t, i.StartPool(ctx, spec, storage.BuildOptions{}), libvirt.ErrOperationInvalid, "storage pool 'p' is already active")
	refused(t, i.BuildPool(ctx, spec, storage.BuildOptions{}), libvirt.ErrOperationInvalid, "storage pool 'p' is already active")
	refused(t, i.UndefinePool(ctx, spec), libvirt.ErrOperationInvalid, "storage pool 'p' is still active")
	refused(t, i.DeletePool(ctx, spec), libvirt.ErrOperationInvalid, "storage pool 'p' is still active")

	must(t, i.RefreshPool(ctx, spec))
	must(t, i.StopPool(ctx, spec))
	refused(t, i.StopPool(ctx, spec), libvirt.ErrOperationInvalid, "storage pool 'p' is not active")
	refused(t, i.RefreshPool(ctx, spec), libvirt.ErrOperationInvalid, "storage pool 'p' is not active")
	_, err = i.Volumes(spec)
	refused(t, err, libvirt.ErrOperationInvalid, "storage pool 'p' is not active")
	must(t, i.DeletePool(ctx, spec))
	must(t, i.UndefinePool(ctx, spec))
	equal(t, "events", i.told(), "p refreshed, p stopped, p deleted, p undefined")
	_, err = i.Pool(spec)
	refused(t, err, libvirt.ErrNoStoragePool, "no storage pool with matching uuid '"+spec.UUID.String()+"' (p)")
	equal(t, "files of pools", entries(t, filepath.Join(i.dir, "config"))+entries(t, filepath.Join(i.dir, "state")), "autostart")
}

func TestClashes(t *testing.T) {
	i, ctx := open(t), t.Context()
	first := definition("first", filepath.Join(i.dir, "first"))
	_, err := i.DefinePool(ctx, first)
	must(t, err)
	for _, test := range []struct {
		name string
		def  storagexml.Pool
		text string
	}{
		{"same folder", *definition("second", first.Target), "Storage source conflict with pool: 'first'"},
		{"same uuid", storagexml.Pool{Name: "second", UUID: first.UUID, Target: "/x"}, "pool 'first' is already defined with uuid " + first.UUID.String()},
		{"same name", *definition("first", "/x"), "pool 'first' already exists with uuid " + first.UUID.String()},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := i.DefinePool(ctx, &test.def)
			refused(t, err, libvirt.ErrOperationFailed, test.text)
			_, err = i.CreatePool(ctx, &test.def, storage.BuildOptions{})
			refused(t, err, libvirt.ErrOperationFailed, test.text)
		})
	}
	equal(t, "number of pools", len(i.Pools.Pools()), 1)
}

func TestHostilePools(t *testing.T) {
	i, ctx := open(t), t.Context()
	for _, name := range []string{"", "../up", "a/b", "a\nb", string(make([]byte, 300))} {
		_, err := i.DefinePool(ctx, definition(name, "/x"))
		refused(t, err, libvirt.ErrInvalidArg, "storage pool")
	}
	_, err := i.DefinePool(ctx, definition("p", "relative"))
	refused(t, err, libvirt.ErrInvalidArg, "path 'relative' is not absolute")
	equal(t, "definitions", entries(t, filepath.Join(i.dir, "config")), "autostart")
}

func TestTransientPoolVanishes(t *testing.T) {
	i, ctx := open(t), t.Context()
	def := definition("p", filepath.Join(i.dir, "p"))
	view, err := i.CreatePool(ctx, def, storage.BuildOptions{Build: true})
	must(t, err)
	spec := storage.PoolSpec{Name: "p", UUID: def.UUID}
	equal(t, "persistent", view.Persistent, false)
	refused(t, i.SetPoolAutostart(ctx, spec, true), libvirt.ErrInternalError, "pool has no config file")
	_, err = i.CreatePool(ctx, def, storage.BuildOptions{})
	refused(t, err, libvirt.ErrOperationInvalid, "pool is already active as 'p'")
	must(t, i.StopPool(ctx, spec))
	equal(t, "events", i.told(), "p started, p stopped")
	equal(t, "number of pools", len(i.Pools.Pools()), 0)
}

// A pool that cannot start leaves no trace when it was to be transient.
func TestCreateFails(t *testing.T) {
	i, ctx := open(t), t.Context()
	file := filepath.Join(i.dir, "file")
	must(t, os.WriteFile(file, nil, 0o600))
	_, err := i.CreatePool(ctx, definition("p", file), storage.BuildOptions{})
	refused(t, err, libvirt.ErrSystemError, "cannot open directory '"+file+"': not a directory")
	_, err = i.CreatePool(ctx, definition("p", filepath.Join(i.dir, "p")), storage.BuildOptions{Overwrite: true, NoOverwrite: true})
	refused(t, err, libvirt.ErrInvalidArg, "mutually exclusive")
	_, err = i.CreatePool(ctx, definition("p", filepath.Join(i.dir, "p")), storage.BuildOptions{Overwrite: true})
	refused(t, err, libvirt.ErrOperationInvalid, "No source device specified when formatting pool 'p'")
	equal(t, "number of pools", len(i.Pools.Pools()), 0)
	equal(t, "events", i.told(), "")
}

func TestRedefineActivePool(t *testing.T) {
	i, ctx := open(t), t.Context()
	spec := i.pool("p")
	next := &storagexml.Pool{Name: "p", UUID: spec.UUID, Target: filepath.Join(i.dir, "elsewhere")}
	_, err := i.DefinePool(ctx, next)
	must(t, err)
	view, err := i.Pool(spec)
	must(t, err)
	equal(t, "folder", view.Target, filepath.Join(i.dir, "p"))
	equal(t, "folder of the next start", view.Inactive.Target, next.Target)
	i.reopen()
	must(t, i.StopPool(ctx, spec))
	view, err = i.Pool(spec)
	must(t, err)
	equal(t, "folder after the stop", view.Target, next.Target)
}

func TestRestart(t *testing.T) {
	i, ctx := open(t), t.Context()
	kept, stopped := i.pool("kept"), i.pool("stopped")
	gone := i.pool("gone")
	_, err := i.CreatePool(ctx, definition("transient", filepath.Join(i.dir, "transient")), storage.BuildOptions{Build: true})
	must(t, err)
	must(t, i.SetPoolAutostart(ctx, stopped, true))
	must(t, i.StopPool(ctx, stopped))
	i.create(kept, raw("disk", 1<<20))
	must(t, os.RemoveAll(filepath.Join(i.dir, "gone")))
	// What a daemon leaves that is killed while it makes a volume.
	must(t, os.WriteFile(filepath.Join(i.dir, "kept", ".virtumld-X.tmp"), []byte("half"), 0o600))

	i.reopen()
	for _, want := range []struct {
		name                          string
		active, persistent, autostart bool
	}{{"kept", true, true, false}, {"stopped", false, true, true}, {"gone", false, true, false}, {"transient", true, false, false}} {
		view, err := i.PoolByName(want.name)
		must(t, err)
		if view.Active != want.active || view.Persistent != want.persistent || view.Autostart != want.autostart {
			t.Errorf("pool %s after the restart: active %v, persistent %v, autostart %v, want %v",
				want.name, view.Active, view.Persistent, view.Autostart, want)
		}
	}
	equal(t, "volumes", i.names(kept), "disk")
	equal(t, "files", entries(t, filepath.Join(i.dir, "kept")), "disk")
	must(t, i.Autostart(ctx))
	view, err := i.Pool(stopped)
	must(t, err)
	equal(t, "autostarted", view.Active, true)
	must(t, i.UndefinePool(ctx, gone))
}

func TestDamagedFilesAreLeftAlone(t *testing.T) {
	i := open(t)
	i.pool("good")
	config := filepath.Join(i.dir, "config")
	must(t, os.WriteFile(filepath.Join(config, "bad.xml"), []byte("<pool"), 0o600))
	good, err := os.ReadFile(filepath.Join(config, "good.xml"))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(config, "other.xml"), good, 0o600))
	i.reopen()
	equal(t, "number of pools", len(i.Pools.Pools()), 1)
	equal(t, "files", entries(t, config), "autostart bad.xml good.xml other.xml")
}

func TestVanishedFolder(t *testing.T) {
	i, ctx := open(t), t.Context()
	spec := i.pool("p")
	must(t, os.RemoveAll(filepath.Join(i.dir, "p")))
	i.told()
	_, err := i.CreateVolume(ctx, spec, raw("disk", 1), storage.CreateOptions{})
	refused(t, err, libvirt.ErrSystemError, "cannot open directory")
	equal(t, "volumes", i.names(spec), "")
	refused(t, i.RefreshPool(ctx, spec), libvirt.ErrSystemError, "cannot open directory")
	equal(t, "events", i.told(), "p stopped")
	view, err := i.Pool(spec)
	must(t, err)
	equal(t, "active", view.Active, false)
}

func TestDefaultPool(t *testing.T) {
	i, ctx := open(t), t.Context()
	view, err := i.PoolByName("default")
	must(t, err)
	if !view.Active || !view.Autostart || view.Target != filepath.Join(i.dir, "images") {
		t.Errorf("the default pool is %+v", view)
	}
	equal(t, "events", i.told(), "default defined, default started")
	spec := storage.PoolSpec{Name: "default", UUID: view.UUID}
	must(t, i.StopPool(ctx, spec))
	must(t, i.UndefinePool(ctx, spec))
	i.reopen()
	_, err = i.PoolByName("default")
	refused(t, err, libvirt.ErrNoStoragePool, "no storage pool with matching name 'default'")
}

// Many clients that ask for it at once get one pool.
func TestDefaultPoolOnce(t *testing.T) {
	i := open(t)
	results := make(chan string)
	for range 8 {
		go func() {
			view, err := i.PoolByName("default")
			if err != nil {
				results <- err.Error()
				return
			}
			results <- view.UUID.String()
		}()
	}
	first := <-results
	for range 7 {
		equal(t, "the pool", <-results, first)
	}
	equal(t, "number of pools", len(i.Pools.Pools()), 1)
}

func TestWaitEndsWithContext(t *testing.T) {
	i := open(t)
	spec := i.pool("p")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := i.RefreshPool(ctx, spec); err == nil {
		t.Error("a refresh whose caller is gone succeeded")
	}
	view, err := i.Pool(spec)
	must(t, err)
	equal(t, "active", view.Active, true)
}

func TestLookups(t *testing.T) {
	i := open(t)
	spec := i.pool("p")
	path := i.create(spec, raw("disk", 4096)).Path
	view, err := i.PoolByTarget(filepath.Join(i.dir, "p") + "/")
	must(t, err)
	equal(t, "pool by its folder", view.Name, "p")
	_, err = i.PoolByTarget("/nowhere//x")
	refused(t, err, libvirt.ErrNoStoragePool, "no storage pool with matching target path '/nowhere//x' (/nowhere/x)")
	_, err = i.PoolByName("nobody")
	refused(t, err, libvirt.ErrNoStoragePool, "no storage pool with matching name 'nobody'")
	volume, err := i.VolumeByPath(path)
	must(t, err)
	equal(t, "volume by its path", volume.Name+" "+volume.Pool, "disk p")
	_, err = i.VolumeByPath(path + "x")
	refused(t, err, libvirt.ErrNoStorageVol, "no storage vol with matching path '"+path+"x'")
	_, err = i.Volume(spec, "nobody")
	refused(t, err, libvirt.ErrNoStorageVol, "no storage vol with matching name 'nobody'")
	must(t, os.Remove(path))
	_, err = i.Volume(spec, "disk")
	refused(t, err, libvirt.ErrNoStorageVol, "no storage vol with matching path '"+path+"'")
	equal(t, "volumes", i.names(spec), "")
}

// Where another pool has the folder already, there is no pool "default".
func TestDefaultPoolConflict(t *testing.T) {
	i := open(t)
	i.poolAt("mine", filepath.Join(i.dir, "images"))
	_, err := i.PoolByName("default")
	refused(t, err, libvirt.ErrNoStoragePool, "Storage source conflict with pool: 'mine'")
}

// What a killed daemon left does not keep a folder from being removed; what
// the user put there does.
func TestDeleteFolder(t *testing.T) {
	i, ctx := open(t), t.Context()
	spec := i.pool("p")
	target := filepath.Join(i.dir, "p")
	must(t, i.StopPool(ctx, spec))
	must(t, os.WriteFile(filepath.Join(target, ".virtumld-X.tmp"), nil, 0o600))
	must(t, os.WriteFile(filepath.Join(target, "file"), nil, 0o600))
	refused(t, i.DeletePool(ctx, spec), libvirt.ErrSystemError, "failed to remove pool '"+target+"': directory not empty")
	equal(t, "files", entries(t, target), "file")
	must(t, os.Remove(filepath.Join(target, "file")))
	must(t, i.DeletePool(ctx, spec))
	refused(t, i.DeletePool(ctx, spec), libvirt.ErrSystemError, "failed to remove pool '"+target+"'")
}
