package storage_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	libvirt "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"

	"virtumld/internal/imgformat"
	"virtumld/internal/storage"
	"virtumld/internal/storagexml"
	"virtumld/internal/virerr"
)

// instance is one daemon's storage in folders of the test's own.
type instance struct {
	*storage.Pools
	t   *testing.T
	dir string

	mu     sync.Mutex
	events []string
}

func open(t *testing.T) *instance {
	t.Helper()
	i := &instance{t: t, dir: t.TempDir()}
	i.reopen()
	return i
}

// reopen is the daemon's restart.
func (i *instance) reopen() {
	i.t.Helper()
	if i.Pools != nil {
		must(i.t, i.Close())
	}
	pools, err := storage.Open(storage.Config{
		ConfigDir:     filepath.Join(i.dir, "config"),
		StateDir:      filepath.Join(i.dir, "state"),
		DefaultTarget: filepath.Join(i.dir, "images"),
		Log:           slog.New(slog.NewTextHandler(i.t.Output(), nil)),
	})
	must(i.t, err)
	i.t.Cleanup(func() { pools.Close() })
	i.Pools = pools
	must(i.t, pools.Load(i.t.Context()))
	i.Subscribe(i.note)
}

func (i *instance) note(c storage.Change) {
	i.mu.Lock()
	defer i.mu.Unlock()
	text := c.Pool.Name + " refreshed"
	if c.Lifecycle != nil {
		text = c.Pool.Name + " " + []string{"defined", "undefined", "started", "stopped", "created", "deleted"}[*c.Lifecycle]
	}
	i.events = append(i.events, text)
}

// told returns and forgets what subscribers were told.
func (i *instance) told() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	text := strings.Join(i.events, ", ")
	i.events = nil
	return text
}

// pool defines, builds and starts a pool.
func (i *instance) pool(name string) storage.PoolSpec {
	i.t.Helper()
	return i.poolAt(name, filepath.Join(i.dir, name))
}

func (i *instance) poolAt(name, target string) storage.PoolSpec {
	i.t.Helper()
	def := definition(name, target)
	_, err := i.DefinePool(i.t.Context(), def)
	must(i.t, err)
	spec := storage.PoolSpec{Name: name, UUID: def.UUID}
	must(i.t, i.StartPool(i.t.Context(), spec, storage.BuildOptions{Build: true}))
	return spec
}

func definition(name, target string) *storagexml.Pool {
	return &storagexml.Pool{Name: name, UUID: uuid.New(), Target: target}
}

// raw is the definition of a sparse raw volume.
func raw(name string, capacity uint64) *storagexml.Volume {
	return &storagexml.Volume{Name: name, Format: imgformat.Raw, Capacity: capacity, HasCapacity: true, HasAllocation: true}
}

// over is the definition of a cow volume.
func over(name, backing string) *storagexml.Volume {
	return &storagexml.Volume{Name: name, Format: imgformat.COW, Backing: &storagexml.Backing{Path: backing}}
}

func (i *instance) create(spec storage.PoolSpec, def *storagexml.Volume) storage.VolumeView {
	i.t.Helper()
	v, err := i.CreateVolume(i.t.Context(), spec, def, storage.CreateOptions{})
	must(i.t, err)
	return v
}

// fill is create with content.
func (i *instance) fill(spec storage.PoolSpec, name string, content []byte) storage.VolumeView {
	i.t.Helper()
	v := i.create(spec, raw(name, uint64(len(content))))
	must(i.t, os.WriteFile(v.Path, content, 0o600))
	return v
}

// names are those of a pool's volumes.
func (i *instance) names(spec storage.PoolSpec) string {
	i.t.Helper()
	views, err := i.Volumes(spec)
	must(i.t, err)
	var names []string
	for _, v := range views {
		names = append(names, v.Name)
	}
	return strings.Join(names, " ")
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// refused checks an error's code and that its text holds part.
func refused(t *testing.T, err error, code libvirt.ErrorNumber, part string) {
	t.Helper()
	if !virerr.Is(err, code) || !strings.Contains(err.Error(), part) {
		t.Errorf("error %v, want code %d and %q", err, code, part)
	}
}

// entries are the names in a folder, hidden ones too.
func entries(t *testing.T, dir string) string {
	t.Helper()
	list, err := os.ReadDir(dir)
	must(t, err)
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

func sameContent(t *testing.T, path string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	must(t, err)
	if !bytes.Equal(got, want) {
		t.Errorf("%s has another content than expected", path)
	}
}
