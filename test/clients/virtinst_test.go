// Package clients tests the programs above libvirt that users manage guests
// with, as Debian ships them, against a real virtumld.
package clients

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"virtumld/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

// ok runs a program, which must succeed.
func ok(t *testing.T, d *testkit.Daemon, name string, args ...string) string {
	t.Helper()
	r := d.Run(name, args...)
	if r.Code != 0 {
		t.Fatalf("%s %q failed (%d):\n%s\n%s", name, args, r.Code, r.Stdout, r.Stderr)
	}
	return r.Stdout
}

// install runs virt-install for a guest that boots a kernel.
func install(t *testing.T, d *testkit.Daemon, name string, more ...string) {
	t.Helper()
	ok(t, d, "virt-install", append([]string{
		"--connect", d.URI, "--virt-type", "uml", "--name", name, "--memory", "128", "--import",
		"--boot", "kernel=" + testkit.Kernel(t) + ",kernel_args=root=/dev/ubda rw",
		"--graphics", "none", "--osinfo", "none", "--network", "none", "--noautoconsole",
	}, more...)...)
	d.DestroyLater(name)
}

// A guest from an existing image: virt-install makes a pool of its folder.
func TestVirtInstallImport(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		disk := d.Rootfs("root.img")
		install(t, d, "vm", "--disk", "path="+disk+",target.dev=ubda,target.bus=uml")
		d.Shell("vm").Run("true")
		if pool := strings.Fields(d.OK("vol-pool", disk)); len(pool) != 1 {
			t.Errorf("the disk's pool is %q", pool)
		}
	})
}

// A disk that virt-install makes: a volume of the size asked for.
func TestVirtInstallNewDisk(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		disk, data := d.Rootfs("root.img"), filepath.Join(d.Dir, "data.img")
		install(t, d, "vm",
			"--disk", "path="+disk+",target.dev=ubda,target.bus=uml",
			"--disk", "path="+data+",size=1,sparse=yes,format=raw,target.dev=ubdb,target.bus=uml")
		if got := d.Shell("vm").Run("cat /sys/block/ubdb/size"); !strings.Contains(got, "2097152") {
			t.Errorf("the new disk has %q sectors, want 2097152", got)
		}
		d.Refused("in use", "vol-delete", data)
	})
}

// virt-clone copies the disk by way of the pool.
func TestVirtClone(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		disk, second := d.Rootfs("root.img"), filepath.Join(d.Dir, "second.img")
		d.Define(d.XML(testkit.Guest{Name: "first", Disk: disk}))
		ok(t, d, "virt-clone", "--connect", d.URI, "--original", "first", "--name", "second", "--file", second)
		d.OK("start", "second")
		d.DestroyLater("second")
		d.Shell("second").Run("true")

		third := d.Rootfs("third.img")
		ok(t, d, "virt-clone", "--connect", d.URI, "--original", "first", "--name", "third",
			"--file", third, "--preserve-data")
		if document := d.OK("dumpxml", "third"); !strings.Contains(document, third) {
			t.Errorf("the clone's document does not name %s:\n%s", third, document)
		}
	})
}

// virt-clone chooses names by itself, and with --reflink shares blocks where
// the file system can.
func TestVirtCloneAuto(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		d.Define(d.XML(testkit.Guest{Name: "first", Disk: d.Rootfs("root.img")}))
		for _, name := range []string{"auto", "shared"} {
			var more []string
			if name == "shared" {
				more = []string{"--reflink"}
			}
			args := append([]string{"--connect", d.URI, "--original", "first", "--name", name, "--auto-clone"}, more...)
			if r := d.Run("virt-clone", args...); name == "shared" && r.Code != 0 {
				// Without such a file system the refusal is the right answer, and
				// leaves nothing.
				if !strings.Contains(r.Stderr, "failed to clone files") {
					t.Errorf("virt-clone --reflink: %s", r.Stderr)
				}
				if left, err := filepath.Glob(filepath.Join(d.Dir, "root*.img")); err != nil || len(left) > 2 {
					t.Errorf("the folder holds %q, %v", left, err)
				}
				continue
			} else if r.Code != 0 {
				t.Fatalf("virt-clone --auto-clone: %s", r.Stderr)
			}
			d.OK("start", name)
			d.DestroyLater(name)
			d.Shell(name).Run("true")
			d.OK("destroy", name)
		}
	})
}

// Guests that virt-install makes of volumes: raw by pool and name, and a new
// copy-on-write one over another volume.
func TestVirtInstallVolumes(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		disk, folder := d.Rootfs("root.img"), filepath.Join(d.Dir, "images")
		info, err := os.Stat(disk)
		if err != nil {
			t.Fatal(err)
		}
		d.OK("pool-create-as", "images", "dir", "--target", folder, "--build")
		d.OK("vol-create-as", "images", "base.img", strconv.FormatInt(info.Size(), 10), "--allocation", "0")
		d.OK("vol-upload", "--pool", "images", "base.img", disk, "--sparse")
		d.OK("vol-create-as", "images", "clone.cow", strconv.FormatInt(info.Size(), 10), "--format", "cow",
			"--backing-vol", "base.img", "--backing-vol-format", "raw")
		install(t, d, "clone", "--disk", "vol=images/clone.cow,driver.name=uml,driver.type=cow,target.dev=ubda,target.bus=uml")
		d.Shell("clone").Run("echo clone >/root/mark; sync")
		d.OK("destroy", "clone")
		// virt-install warns that the clone is over it, which is shut off.
		install(t, d, "base", "--check", "path_in_use=off", "--disk", "vol=images/base.img,target.dev=ubda,target.bus=uml")
		d.Shell("base").Fail("cat /root/mark")
	})
}
