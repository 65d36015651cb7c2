package uml

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	libvirt "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"virtumld/internal/cow"
	"virtumld/internal/domain"
	"virtumld/internal/domxml"
	"virtumld/internal/filelock"
	"virtumld/internal/paths"
	"virtumld/internal/supervisor"
	"virtumld/internal/virerr"
)

// file makes a sparse file of size bytes that begins with text.
func file(t *testing.T, name, text string, size int64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	return path
}

func clone(t *testing.T, backing string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "clone.cow")
	if err := cow.Create(path, backing); err != nil {
		t.Fatal(err)
	}
	return path
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func TestPrepareMakesAndDiscards(t *testing.T) {
	t.Parallel()
	base, path := file(t, "base", "", 1<<20), filepath.Join(t.TempDir(), "new.cow")
	disks := []domxml.Disk{
		{Target: "ubd0", Path: base, FormatGiven: true},
		{Target: "ubd1", Unit: 1, Path: path, COW: true, Backing: base},
		{Target: "ubd2", Unit: 2, Path: clone(t, base), COW: true},
	}
	p, err := prepareDisks(disks)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.backing) != 2 || p.backing[1] != base || p.backing[2] != base {
		t.Errorf("the backing files are %v", p.backing)
	}
	if !exists(path) {
		t.Fatal("the copy-on-write file was not made")
	}
	if err := p.discard(); err != nil {
		t.Fatal(err)
	}
	if exists(path) {
		t.Error("the copy-on-write file stays")
	}
	if !exists(disks[2].Path) {
		t.Error("a copy-on-write file that was there before is gone")
	}
	if err := p.discard(); err != nil {
		t.Errorf("discarded again: %v", err)
	}
}

func TestPrepareFailsWithoutTrace(t *testing.T) {
	t.Parallel()
	base, path := file(t, "base", "", 1<<20), filepath.Join(t.TempDir(), "new.cow")
	_, err := prepareDisks([]domxml.Disk{
		{Target: "ubd0", Path: path, COW: true, Backing: base},
		{Target: "ubd1", Unit: 1, Path: base + ".not-there", COW: true},
	})
	if !virerr.Is(err, libvirt.ErrOperationFailed) || !strings.Contains(err.Error(), "ubd1") {
		t.Errorf("got %v", err)
	}
	if exists(path) {
		t.Error("the copy-on-write file of the failed start stays")
	}
}

// COW files that no guest may be started with.
func TestPrepareRefusesCOW(t *testing.T) {
	t.Parallel()
	base := file(t, "base", "", 1<<20)
	own := clone(t, base)
	short := clone(t, base)
	if err := os.Truncate(short, 1<<20); err != nil {
		t.Fatal(err)
	}
	orphanBase := file(t, "orphan", "", 1<<20)
	orphan := clone(t, orphanBase)
	if err := os.Remove(orphanBase); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		disk domxml.Disk
		want string
	}{
		{"cut short", domxml.Disk{Path: short}, "something has cut it short"},
		{"own backing", domxml.Disk{Path: own, Backing: own}, "its own backing file"},
		{"clone of a clone", domxml.Disk{Path: own, Backing: short}, "itself a copy-on-write file"},
		{"no backing", domxml.Disk{Path: orphan}, "cannot look at the backing file"},
		{"other backing", domxml.Disk{Path: own, Backing: file(t, "other", "", 2<<20)}, "restore the backing file"},
		{"raw", domxml.Disk{Path: base}, "not a UML copy-on-write file"},
		{"none", domxml.Disk{Path: base + ".gone"}, "base.gone': no such file"},
		{"new over nothing", domxml.Disk{Path: base + ".gone", Backing: base + ".too"}, base + ".too: no such file"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.disk.Target, test.disk.COW = "ubd0", true
			_, err := prepareDisks([]domxml.Disk{test.disk})
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "ubd0") {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

// What others have by now is not removed.
func TestDiscardLeavesOthersFiles(t *testing.T) {
	t.Parallel()
	for name, take := range map[string]func(t *testing.T, path string){
		"locked": func(t *testing.T, path string) {
			f, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { f.Close() })
			if err := filelock.Lock(f, filelock.Shared); err != nil {
				t.Fatal(err)
			}
		},
		"replaced": func(t *testing.T, path string) {
			if err := os.Rename(file(t, "other", "other", 5), path); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "new.cow")
			p, err := prepareDisks([]domxml.Disk{{Target: "ubd0", Path: path, COW: true, Backing: file(t, "base", "", 1<<20)}})
			if err != nil {
				t.Fatal(err)
			}
			take(t, path)
			if err := p.discard(); err != nil {
				t.Fatal(err)
			}
			if !exists(path) {
				t.Error("the file was removed")
			}
		})
	}
}

func TestCheckFormat(t *testing.T) {
	t.Parallel()
	qcow2 := file(t, "q.qcow2", "QFI\xfb\x00\x00\x00\x03", 1<<20)
	iso := file(t, "i.iso", strings.Repeat("\x00", 32769)+"CD001", 1<<20)
	cowFile := clone(t, file(t, "base", "", 1<<20))
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name    string
		disk    domxml.Disk
		refusal string
	}{
		{"raw", domxml.Disk{Path: file(t, "r", "text", 1<<20)}, ""},
		{"empty", domxml.Disk{Path: file(t, "e", "", 0)}, ""},
		{"iso", domxml.Disk{Path: iso}, ""},
		{"declared raw", domxml.Disk{Path: qcow2, FormatGiven: true}, ""},
		{"declared raw over cow", domxml.Disk{Path: cowFile, FormatGiven: true}, ""},
		{"not there", domxml.Disk{Path: qcow2 + ".gone"}, ""},
		{"fifo", domxml.Disk{Path: fifo}, ""},
		{"qcow2", domxml.Disk{Path: qcow2}, "format 'qcow2'"},
		{"qcow2 advice", domxml.Disk{Path: qcow2}, "qemu-img convert -O raw"},
		{"cow", domxml.Disk{Path: cowFile}, "use type='cow'"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			err := checkFormat(test.disk)
			switch {
			case test.refusal == "" && err != nil:
				t.Errorf("refused: %v", err)
			case test.refusal != "" && (!virerr.Is(err, libvirt.ErrConfigUnsupported) || !strings.Contains(err.Error(), test.refusal)):
				t.Errorf("got %v, want %q", err, test.refusal)
			}
		})
	}
}

// pool is a pool "p" of volumes: names to paths.
type pool map[string]string

func (p pool) VolumePath(_ context.Context, name, volume string) (string, error) {
	if path := p[volume]; name == "p" && path != "" {
		return path, nil
	}
	return "", virerr.In(virerr.Storage, libvirt.ErrNoStorageVol, "no storage vol with matching name '%s'", volume)
}

func TestDiskInfo(t *testing.T) {
	t.Parallel()
	base := file(t, "base", strings.Repeat("x", 4096), 1<<20)
	clone := clone(t, base)
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	raw := domain.DiskInfo{Capacity: 1 << 20, Allocation: allocated(t, base), Physical: 1 << 20}
	over := domain.DiskInfo{Capacity: 1 << 20, Allocation: allocated(t, clone), Physical: 1<<20 + 12288}
	for _, test := range []struct {
		name string
		disk domxml.Disk
		ask  string
		want domain.DiskInfo
		code libvirt.ErrorNumber
	}{
		{"target", domxml.Disk{Path: base}, "ubd0", raw, 0},
		{"path", domxml.Disk{Path: base}, base, raw, 0},
		{"cow", domxml.Disk{Path: clone, COW: true}, "ubd0", over, 0},
		{"volume", domxml.Disk{Pool: "p", Volume: "v"}, "ubd0", raw, 0},
		{"volume by its path", domxml.Disk{Pool: "p", Volume: "v"}, base, raw, 0},
		{"no such volume", domxml.Disk{Pool: "p", Volume: "w"}, "ubd0", domain.DiskInfo{}, libvirt.ErrNoStorageVol},
		{"no such disk", domxml.Disk{Path: base}, "ubd1", domain.DiskInfo{}, libvirt.ErrInvalidArg},
		{"no such file", domxml.Disk{Path: base + ".gone"}, "ubd0", domain.DiskInfo{}, libvirt.ErrSystemError},
		{"fifo", domxml.Disk{Path: fifo}, "ubd0", domain.DiskInfo{}, libvirt.ErrSystemError},
		{"folder", domxml.Disk{Path: t.TempDir()}, "ubd0", domain.DiskInfo{}, libvirt.ErrSystemError},
		{"raw called cow", domxml.Disk{Path: base, COW: true}, "ubd0", domain.DiskInfo{}, libvirt.ErrOperationFailed},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.disk.Target = "ubd0"
			m := New(Config{Volumes: pool{"v": base}})
			got, err := m.DiskInfo(t.Context(), &domxml.Definition{Disks: []domxml.Disk{test.disk}}, test.ask)
			if got != test.want || (err == nil) != (test.code == 0) || (err != nil && !virerr.Is(err, test.code)) {
				t.Errorf("got %+v, %v; want %+v, code %d", got, err, test.want, test.code)
			}
		})
	}
}

// The disk of a running guest is the file that it has, wherever its volume is
// now.
func TestDiskInfoOfRunningGuest(t *testing.T) {
	t.Parallel()
	def := &domxml.Definition{UUID: uuid.New(), Disks: []domxml.Disk{{Pool: "stopped", Volume: "v", Target: "ubd1", Unit: 1}}}
	m := New(Config{Paths: paths.Paths{StateDir: t.TempDir()}, Volumes: pool{}})
	if _, err := m.DiskInfo(t.Context(), def, "ubd1"); !virerr.Is(err, libvirt.ErrNoStorageVol) {
		t.Errorf("without a guest: %v", err)
	}
	spec, err := json.Marshal(supervisor.Spec{Files: []supervisor.File{
		{Host: "/nowhere", Guest: "/disk0"}, {Host: file(t, "v", "x", 1<<20), Guest: "/disk1"},
	}})
	if err == nil {
		err = errors.Join(os.MkdirAll(m.Paths.Guest(def.UUID.String()), 0o700),
			os.WriteFile(filepath.Join(m.Paths.Guest(def.UUID.String()), "spec.json"), spec, 0o600))
	}
	if err != nil {
		t.Fatal(err)
	}
	if got, err := m.DiskInfo(t.Context(), def, "ubd1"); err != nil || got.Capacity != 1<<20 {
		t.Errorf("with a guest: %+v, %v", got, err)
	}
}

func allocated(t *testing.T, path string) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return uint64(st.Blocks) * 512
}

// A start works on paths; the definition keeps pool and volume.
func TestResolve(t *testing.T) {
	t.Parallel()
	def := &domxml.Definition{Disks: []domxml.Disk{{Path: "/a"}, {Pool: "p", Volume: "v"}}}
	resolved, err := New(Config{Volumes: pool{"v": "/pool/v"}}).resolve(t.Context(), def)
	if err != nil {
		t.Fatal(err)
	}
	if resolved.Disks[0].Path != "/a" || resolved.Disks[1].Path != "/pool/v" {
		t.Errorf("resolved to %+v", resolved.Disks)
	}
	if def.Disks[1].Path != "" {
		t.Error("the definition itself was changed")
	}
}

// Kernels hang in a write to a tiny copy-on-write disk.
func TestTinyCOW(t *testing.T) {
	t.Parallel()
	for size, want := range map[int64]bool{512: false, 64 * 512: false, 65 * 512: true} {
		path := clone(t, file(t, "base", "x", size))
		_, err := prepareDisks([]domxml.Disk{{Target: "ubd0", Path: path, COW: true}})
		if (err == nil) != want || (err != nil && !virerr.Is(err, libvirt.ErrConfigUnsupported)) {
			t.Errorf("%d bytes: %v", size, err)
		}
		if _, err := prepareDisks([]domxml.Disk{{Target: "ubd0", Path: path, COW: true, ReadOnly: true}}); err != nil {
			t.Errorf("%d bytes, read-only: %v", size, err)
		}
	}
}
