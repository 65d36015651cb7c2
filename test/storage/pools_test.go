package storage

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"virtumld/internal/testkit"
)

// The life of a pool, from its definition to its end.
func TestPoolLife(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		target := filepath.Join(d.Dir, "some", "pool")
		d.OK("pool-define-as", "p", "dir", "--target", target)
		d.Refused("cannot open", "pool-start", "p")
		d.OK("pool-build", "p")
		if info, err := os.Stat(target); err != nil || info.Mode().Perm() != 0o711 {
			t.Errorf("the pool's folder: %v, %v", info, err)
		}
		d.OK("pool-start", "p")
		d.Refused("storage pool 'p' is already active", "pool-start", "p")
		info := fields(d, "pool-info", "p")
		if info["State"] != "running" || info["Persistent"] != "yes" || info["Autostart"] != "no" || info["Capacity"] == "0.00 B" {
			t.Errorf("pool-info: %q", info)
		}
		for name, want := range map[string]string{"pool-name": "p", "pool-uuid": info["UUID"]} {
			of := map[string]string{"pool-name": info["UUID"], "pool-uuid": "p"}[name]
			if got := d.OK(name, of); got != want {
				t.Errorf("%s %s: %q, want %q", name, of, got, want)
			}
		}
		for _, part := range []string{"<pool type='dir'>", "<name>p</name>", "<path>" + target + "</path>", "<mode>0711</mode>"} {
			if xml := d.OK("pool-dumpxml", "p"); !strings.Contains(xml, part) {
				t.Errorf("no %s in the document:\n%s", part, xml)
			}
		}
		d.OK("pool-autostart", "p")
		if got := fields(d, "pool-info", "p")["Autostart"]; got != "yes" {
			t.Errorf("autostart: %q", got)
		}
		d.OK("pool-autostart", "p", "--disable")

		d.OK("pool-define", d.File("again.xml", d.OK("pool-dumpxml", "p", "--inactive")))
		d.Refused("storage pool 'p' is still active", "pool-undefine", "p")
		d.Refused("storage pool 'p' is still active", "pool-delete", "p")
		d.OK("pool-destroy", "p")
		d.Refused("storage pool 'p' is not active", "pool-destroy", "p")
		d.Refused("storage pool 'p' is not active", "vol-list", "p")
		d.OK("pool-delete", "p")
		if _, err := os.Stat(target); !os.IsNotExist(err) {
			t.Errorf("the folder of a deleted pool: %v", err)
		}
		d.OK("pool-undefine", "p")
		d.Refused("no storage pool with matching name 'p'", "pool-info", "p")
	})
}

// Each filter of "virsh pool-list" against one pool of each kind.
func TestPoolListFilters(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		pool(d, "active")
		pool(d, "auto")
		d.OK("pool-autostart", "auto")
		d.OK("pool-define-as", "off", "dir", "--target", filepath.Join(d.Dir, "off"))
		d.OK("pool-create-as", "transient", "dir", "--target", filepath.Join(d.Dir, "transient"), "--build")
		for _, c := range []struct {
			flags string
			want  string
		}{
			{"", "active auto transient"},
			{"--all", "active auto off transient"},
			{"--inactive", "off"},
			{"--all --autostart", "auto"},
			{"--all --no-autostart", "active off transient"},
			{"--all --persistent", "active auto off"},
			{"--all --transient", "transient"},
			{"--all --type dir", "active auto off transient"},
			{"--all --type logical,rbd", ""},
			{"--type dir,fs --inactive", "off"},
		} {
			wants(t, "pool-list "+c.flags, d.Lines(append([]string{"pool-list", "--name"}, strings.Fields(c.flags)...)...), strings.Fields(c.want)...)
		}
		if out := d.OK("pool-list", "--all", "--details"); !strings.Contains(out, "GiB") {
			t.Errorf("pool-list --details:\n%s", out)
		}
		d.OK("pool-destroy", "transient")
		d.Refused("Storage pool not found", "pool-info", "transient")
	})
}

// Volumes that somebody else makes and removes are seen by a refresh.
func TestPoolRefresh(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		target := pool(d, "p")
		made := filepath.Join(target, "made by hand")
		if err := os.WriteFile(made, make([]byte, 12345), 0o644); err != nil {
			t.Fatal(err)
		}
		d.Refused("no storage vol with matching path", "vol-info", made)
		d.OK("pool-refresh", "p")
		if got := bytesOf(d, "Capacity", made); got != "12345 bytes" {
			t.Errorf("capacity: %q", got)
		}
		if err := os.Remove(made); err != nil {
			t.Fatal(err)
		}
		d.OK("pool-refresh", "p")
		d.Refused("no storage vol with matching path", "vol-info", made)
	})
}

func TestPoolEvents(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		life, refreshed := d.PoolEvents("lifecycle"), d.PoolEvents("refresh")
		pool(d, "p")
		for _, event := range []string{"Defined", "Created", "Started"} {
			life.AwaitPool("storage pool p: " + event)
		}
		d.OK("pool-refresh", "p")
		refreshed.AwaitPool("event 'refresh' for storage pool p")
		d.OK("pool-destroy", "p")
		d.OK("pool-delete", "p")
		d.OK("pool-undefine", "p")
		for _, event := range []string{"Stopped", "Deleted", "Undefined"} {
			life.AwaitPool("storage pool p: " + event)
		}
	})
}

// A daemon that is killed finds its pools as they were.
func TestKilledDaemonFindsPools(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		pool(d, "active")
		d.OK("vol-create-as", "active", "v", "1M")
		d.OK("pool-define-as", "off", "dir", "--target", filepath.Join(d.Dir, "off"))
		d.OK("pool-create-as", "transient", "dir", "--target", filepath.Join(d.Dir, "transient"), "--build")
		uuid := d.OK("pool-uuid", "active")

		d.Kill()
		d.Start()

		wants(t, "active pools", d.Lines("pool-list", "--name"), "active", "transient")
		wants(t, "transient pools", d.Lines("pool-list", "--name", "--all", "--transient"), "transient")
		wants(t, "inactive pools", d.Lines("pool-list", "--name", "--inactive"), "off")
		if got := d.OK("pool-uuid", "active"); got != uuid {
			t.Errorf("the pool's uuid is %s, was %s", got, uuid)
		}
		if got := bytesOf(d, "Capacity", "v", "active"); got != "1048576 bytes" {
			t.Errorf("the volume's capacity: %q", got)
		}
	})
}

// What other kinds of pools are answered with.
func TestOtherPools(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		if out := d.OK("pool-capabilities"); !strings.Contains(out, "<pool type='dir' supported='yes'>") {
			t.Errorf("pool-capabilities:\n%s", out)
		}
		d.Refused("missing backend for pool type 3 (logical)", "pool-define-as", "x", "logical", "--source-name", "vg")
		d.Refused("missing backend for pool type 3 (logical)", "find-storage-pool-sources-as", "logical")
		d.Refused("pool type 'dir' does not support source discovery", "find-storage-pool-sources", "dir")
	})
}
