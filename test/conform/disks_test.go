package conform

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"virtumld/internal/testkit"
)

// small mounts a tmpfs of size over dir, with what is in dir in it. Only root
// can. The daemon must not run.
func small(t *testing.T, dir, size string) {
	t.Helper()
	kept := filepath.Join(t.TempDir(), "kept")
	if err := os.CopyFS(kept, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=711,size="+size); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	if err := os.CopyFS(dir, os.DirFS(kept)); err != nil {
		t.Fatal(err)
	}
}

// fill takes the last byte of the file system at dir; the returned function
// gives it back.
func fill(t *testing.T, dir string) (free func()) {
	t.Helper()
	path := filepath.Join(dir, "filler")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for err == nil {
		_, err = file.Write(make([]byte, 4096))
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}

// A full disk below the definitions: what is there stays as it is, and the
// client is told why.
func TestFullConfigFolder(t *testing.T) {
	d := testkit.Start(t, testkit.Root)
	d.Define(d.XML(testkit.Guest{Name: "vm"}))
	before := d.OK("dumpxml", "vm")
	changed := d.File("changed.xml", strings.Replace(before, "131072", "262144", 1))
	d.Stop()
	config := filepath.Join(d.Dir, "etc/libvirt/uml")
	small(t, config, "64k")
	d.Start()
	stored, err := os.ReadFile(filepath.Join(config, "vm.xml"))
	if err != nil {
		t.Fatal(err)
	}

	free := fill(t, config)
	refusals := []answer{
		{"define " + changed, true, "error: cannot write " + config + "/vm.xml"},
		{"define " + d.File("other.xml", d.XML(testkit.Guest{Name: "other"})), true, "no space left on device"},
		{"setmaxmem vm 256M --config", true, "no space left on device"},
		{"desc vm --title another", true, "no space left on device"},
		{"domrename vm another", true, "no space left on device"},
	}
	for _, a := range refusals {
		a.check(t, d)
	}
	if after := d.OK("dumpxml", "vm"); after != before {
		t.Errorf("the definition has changed:\n%s\nwas\n%s", after, before)
	}
	if now, err := os.ReadFile(filepath.Join(config, "vm.xml")); err != nil || string(now) != string(stored) {
		t.Errorf("the file has changed (%v):\n%s\nwas\n%s", err, now, stored)
	}
	if got := d.Lines("list", "--all", "--name"); len(got) != 1 {
		t.Errorf("domains: %q", got)
	}
	free()
	d.OK("define", changed)
	d.Kill()
	d.Start()
	answer{"dominfo vm", false, "Max memory:     262144 KiB"}.check(t, d)
}

// A full disk below the state: a start that cannot be kept fails and leaves
// nothing, and the next one works.
func TestFullStateFolder(t *testing.T) {
	d := testkit.Start(t, testkit.Root)
	d.Define(d.XML(testkit.Guest{Name: "vm", Disk: d.Rootfs("vm.img")}))
	d.DestroyLater("vm")
	d.Stop()
	state := filepath.Join(d.Dir, "run/libvirt/uml")
	small(t, state, "256k")
	d.Start()

	free := fill(t, state)
	answer{"start vm", true, "no space left on device"}.check(t, d)
	answer{"domstate vm --reason", false, "shut off (failed)"}.check(t, d)
	if left, err := filepath.Glob(filepath.Join(state, "guests", "*")); err != nil || len(left) != 0 {
		t.Errorf("left of the failed start: %q (%v)", left, err)
	}
	free()
	d.OK("start", "vm")
	d.OK("destroy", "vm")
}

// A configuration folder that may not be written.
func TestReadOnlyConfigFolder(t *testing.T) {
	d := testkit.Start(t, testkit.User)
	d.Define(d.XML(testkit.Guest{Name: "vm"}))
	before := d.OK("dumpxml", "vm")
	config := filepath.Join(d.Dir, "config/libvirt/uml")
	if err := os.Chmod(config, 0o500); err != nil {
		t.Fatal(err)
	}
	answer{"setmaxmem vm 256M --config", true, "permission denied"}.check(t, d)
	answer{"undefine vm", true, "permission denied"}.check(t, d)
	if after := d.OK("dumpxml", "vm"); after != before {
		t.Errorf("the definition has changed:\n%s\nwas\n%s", after, before)
	}
	if err := os.Chmod(config, 0o700); err != nil {
		t.Fatal(err)
	}
	d.OK("undefine", "vm")
}
