package guests

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"virtumld/internal/testkit"
)

// cowDriver is the <driver> of a disk that is a copy-on-write file.
const cowDriver = "<driver name='uml' type='cow'/>"

// images makes the pool "images" with the volume base.img: the root filesystem.
func images(t *testing.T, d *testkit.Daemon) {
	t.Helper()
	d.OK("pool-create-as", "images", "dir", "--target", filepath.Join(d.Dir, "images"), "--build")
	upload(t, d, "base.img")
}

// upload makes a raw volume that holds the root filesystem.
func upload(t *testing.T, d *testkit.Daemon, volume string) {
	t.Helper()
	root := d.Rootfs("root-for-" + volume)
	d.OK("vol-create-as", "images", volume, fmt.Sprintf("%dB", size(t, root)), "--format", "raw", "--allocation", "0")
	d.OK("vol-upload", "--pool", "images", volume, root, "--sparse")
}

func size(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// clone makes a copy-on-write volume over base.img.
func clone(d *testkit.Daemon, volume string) {
	d.OK("vol-create-as", "images", volume, "1M", "--format", "cow", "--backing-vol", "base.img", "--backing-vol-format", "raw")
}

// ofVolume is a domain whose root is a volume of the pool "images".
func ofVolume(d *testkit.Daemon, name, volume, driver string) string {
	const source = "<disk type='file' device='disk'><source file='/volume'/>"
	return strings.Replace(d.XML(testkit.Guest{Name: name, Disk: "/volume"}), source,
		"<disk type='volume' device='disk'>"+driver+"<source pool='images' volume='"+volume+"'/>", 1)
}

// ofFile is a domain whose root is the file at path.
func ofFile(d *testkit.Daemon, name, path, driver string) string {
	return strings.Replace(d.XML(testkit.Guest{Name: name, Disk: path}), "<target dev='ubd0'", driver+"<target dev='ubd0'", 1)
}

// boot defines a domain and starts it.
func boot(d *testkit.Daemon, name, document string) *testkit.Shell {
	d.Define(document)
	d.OK("start", name)
	d.DestroyLater(name)
	return d.Shell(name)
}

// blockInfo is one number of virsh domblkinfo.
func blockInfo(t *testing.T, d *testkit.Daemon, domain, disk, field string) int64 {
	t.Helper()
	for _, line := range d.Lines("domblkinfo", domain, disk) {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("domblkinfo %s %s says nothing of %s", domain, disk, field)
	return 0
}

// Guests of every kind of volume, by pool and by path.
func TestGuestsOfVolumes(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		images(t, d)
		upload(t, d, "own.img")
		capacity := size(t, filepath.Join(d.Dir, "images/base.img"))

		raw := boot(d, "raw", ofVolume(d, "raw", "own.img", ""))
		raw.Run("echo mine >/root/mark; sync")
		for _, args := range [][]string{{"dumpxml", "raw"}, {"dumpxml", "raw", "--inactive"}} {
			if got := d.OK(args...); !strings.Contains(got, "<source pool='images' volume='own.img'/>") {
				t.Errorf("%v:\n%s", args, got)
			}
		}
		if got := d.OK("domblklist", "raw", "--details"); !strings.Contains(got, "volume") || !strings.Contains(got, "own.img") {
			t.Errorf("domblklist:\n%s", got)
		}
		if got := blockInfo(t, d, "raw", "ubd0", "Capacity"); got != capacity {
			t.Errorf("the raw volume has a capacity of %d bytes, want %d", got, capacity)
		}

		clone(d, "one.cow")
		clone(d, "two.cow")
		base := read(t, filepath.Join(d.Dir, "images/base.img"))
		one := boot(d, "one", ofVolume(d, "one", "one.cow", cowDriver))
		two := boot(d, "two", ofFile(d, "two", d.OK("vol-path", "--pool", "images", "two.cow"), cowDriver))
		one.Run("echo one >/root/mark; sync")
		two.Fail("cat /root/mark")
		for _, name := range []string{"one", "two"} {
			if got := blockInfo(t, d, name, "ubd0", "Capacity"); got != capacity {
				t.Errorf("the clone of %s has a capacity of %d bytes, want %d", name, got, capacity)
			}
			if got := blockInfo(t, d, name, "ubd0", "Allocation"); got <= 0 || got >= capacity {
				t.Errorf("the clone of %s takes %d bytes", name, got)
			}
		}
		d.Refused("is in use", "create", d.File("base.xml", ofVolume(d, "base", "base.img", "")))

		d.Kill()
		d.Start()
		if got := blockInfo(t, d, "one", "ubd0", "Capacity"); got != capacity {
			t.Errorf("after the daemon's restart the clone has a capacity of %d bytes", got)
		}
		d.OK("pool-destroy", "images")
		if got := blockInfo(t, d, "one", "ubd0", "Capacity"); got != capacity {
			t.Errorf("while its pool is stopped the running clone has a capacity of %d bytes", got)
		}
		d.Define(ofVolume(d, "off", "own.img", ""))
		d.Refused("Storage pool not found", "domblkinfo", "off", "ubd0")
		d.OK("pool-create-as", "images", "dir", "--target", filepath.Join(d.Dir, "images"))
		for _, name := range []string{"raw", "one", "two"} {
			d.OK("destroy", name)
		}
		if read(t, filepath.Join(d.Dir, "images/base.img")) != base {
			t.Error("the base volume has changed")
		}
		if got := blockInfo(t, d, "one", "ubd0", "Capacity"); got != capacity {
			t.Errorf("the clone of the shut-off guest has a capacity of %d bytes", got)
		}
		// The other way round: a guest that may write to the base keeps clones
		// out, even before it writes.
		d.Define(ofVolume(d, "writer", "base.img", "<driver name='uml' type='raw'/>"))
		d.OK("start", "writer", "--paused")
		d.DestroyLater("writer")
		d.Refused("is in use", "start", "one")
		d.OK("destroy", "writer")
		d.OK("start", "one")
		d.Shell("one").Run("grep one /root/mark")
		d.OK("destroy", "one")
	})
}

// Disks whose volume cannot be had: the domain is defined, and its start says
// why it fails, as libvirt does.
func TestVolumesThatAreNotThere(t *testing.T) {
	t.Parallel()
	d := testkit.Start(t, testkit.User)
	d.Define(ofVolume(d, "vm", "v.img", ""))
	d.Refused("no storage pool with matching name 'images'", "start", "vm")
	d.OK("pool-define-as", "images", "dir", "--target", filepath.Join(d.Dir, "images"))
	d.OK("pool-build", "images")
	d.Refused("storage pool 'images' containing volume 'v.img' is not active", "start", "vm")
	d.Refused("storage pool 'images' containing volume 'v.img' is not active", "domblkinfo", "vm", "ubd0")
	d.OK("pool-start", "images")
	d.Refused("no storage vol with matching name 'v.img'", "start", "vm")
	if got := d.OK("domstate", "vm"); got != "shut off" {
		t.Errorf("after the refusals the domain is %q", got)
	}
}

// A volume that a guest uses, and one that its disk is backed by, stay as they
// are, and the guest goes on.
func TestVolumeInUse(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		images(t, d)
		upload(t, d, "own.img")
		upload(t, d, "base-of-file.img") // no clone of it is in a pool
		clone(d, "clone.cow")
		other := image(t, d, "other.img", "something else")
		backing := cowDriver + "<backingStore type='file'><format type='raw'/><source file='" +
			filepath.Join(d.Dir, "images/base-of-file.img") + "'/></backingStore>"
		shells := map[string]*testkit.Shell{
			"raw":  boot(d, "raw", ofVolume(d, "raw", "own.img", "")),
			"cow":  boot(d, "cow", ofVolume(d, "cow", "clone.cow", cowDriver)),
			"file": boot(d, "file", ofFile(d, "file", filepath.Join(d.Dir, "file.cow"), backing)),
		}
		for _, shell := range shells {
			shell.Run("echo before >/root/mark; sync")
		}
		// In use, and the backing file of clone.cow: either is said.
		const backs = "volume 'base.img' is"
		for volume, want := range map[string]struct{ change, upload string }{
			"own.img":          {"in use", "in use"},
			"base-of-file.img": {"in use", "in use"},
			"clone.cow":        {"in use", "cannot be uploaded to"},
			"base.img":         {backs, backs},
		} {
			path := filepath.Join(d.Dir, "images", volume)
			before := size(t, path)
			d.Refused(want.change, "vol-delete", "--pool", "images", volume)
			d.Refused(want.change, "vol-wipe", "--pool", "images", volume)
			d.Refused(want.change, "vol-resize", "--pool", "images", volume, "64M")
			d.Refused(want.upload, "vol-upload", "--pool", "images", volume, other)
			if got := size(t, path); got != before {
				t.Errorf("%s has %d bytes, before %d", volume, got, before)
			}
		}
		for name, shell := range shells {
			shell.Run("echo 3 >/proc/sys/vm/drop_caches")
			if got := shell.Run("cat /root/mark"); got != "before" {
				t.Errorf("the guest %s reads %q", name, got)
			}
			shell.Run("echo after >>/root/mark; sync")
			d.OK("destroy", name)
		}
		d.OK("vol-delete", "--pool", "images", "clone.cow")
		d.OK("vol-upload", "--pool", "images", "own.img", other)
		d.OK("vol-resize", "--pool", "images", "own.img", "64M")
		d.OK("vol-wipe", "--pool", "images", "own.img")
		for _, volume := range []string{"own.img", "base.img", "base-of-file.img"} {
			d.OK("vol-delete", "--pool", "images", volume)
		}
	})
}

// A copy-on-write file that was made for a start goes with it.
func TestFailedStartLeavesNoClone(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		base, path := d.Rootfs("base.img"), filepath.Join(d.Dir, "vm.cow")
		backing := cowDriver + "<backingStore type='file'><format type='raw'/><source file='" + base + "'/></backingStore>"
		document := ofFile(d, "vm", path, backing)
		gone := disk("ubd1", filepath.Join(d.Dir, "gone.img"), "")
		d.Refused("gone.img", "create", d.File("gone.xml", strings.Replace(document, "<console", gone+"<console", 1)))
		if _, err := os.Lstat(path); !os.IsNotExist(err) {
			t.Errorf("after the failed start the copy-on-write file is there: %v", err)
		}
		boot(d, "vm", document).Run("echo written >/root/mark; sync")
		d.OK("destroy", "vm")
		if size(t, path) == 0 {
			t.Error("the copy-on-write file of a guest that has run is empty")
		}
	})
}

// An image of a format that no guest reads is refused unless it is said to be
// raw.
func TestFormatsOfOthers(t *testing.T) {
	t.Parallel()
	d := testkit.Start(t, testkit.User)
	foreign := image(t, d, "foreign.img", "QFI\xfb\x00\x00\x00\x03")
	root := d.Rootfs("root.img")
	second := func(driver string) string {
		return d.XML(testkit.Guest{Name: "vm", Disk: root, Devices: disk("ubd1", foreign, driver)})
	}
	d.Refused("qemu-img convert", "define", d.File("qcow2.xml", second("<driver name='uml' type='qcow2'/>")))
	d.Refused("is an image of format 'qcow2'", "create", d.File("bare.xml", second("")))
	shell := boot(d, "vm", second("<driver name='uml' type='raw'/>"))
	shell.Run("dmesg -n 1") // the kernel tells of every opening
	if got := shell.Run("head -c 3 /dev/ubdb"); got != "QFI" {
		t.Errorf("the guest reads %q from a disk that is said to be raw", got)
	}
	d.OK("destroy", "vm")
}

func TestBlockInfoAndResize(t *testing.T) {
	t.Parallel()
	d := testkit.Start(t, testkit.User)
	root, ro := d.Rootfs("root.img"), image(t, d, "ro.img", "")
	d.Define(d.XML(testkit.Guest{Name: "vm", Disk: root, Devices: disk("ubd1", ro, "<readonly/>")}))
	check := func(state string) {
		t.Helper()
		for _, name := range []string{"ubd0", root} {
			for field, want := range map[string]int64{"Capacity": size(t, root), "Physical": size(t, root), "Allocation": allocated(t, root)} {
				if got := blockInfo(t, d, "vm", name, field); got != want {
					t.Errorf("%s: %s of %s is %d, want %d", state, field, name, got, want)
				}
			}
		}
		d.Refused("invalid path ubd7 not assigned to domain", "domblkinfo", "vm", "ubd7")
	}
	check("shut off")
	d.Refused("domain is not running", "blockresize", "vm", "ubd0", "64M")
	d.OK("start", "vm")
	d.DestroyLater("vm")
	d.Shell("vm").Run("sync")
	check("running")
	d.Refused("cannot be given a disk of another size", "blockresize", "vm", root, "64M")
	d.Refused("can't resize empty or readonly disk 'ubd1'", "blockresize", "vm", "ubd1", "64M")
	d.Refused("disk 'ubd7' was not found in the domain config", "blockresize", "vm", "ubd7", "64M")
	d.OK("destroy", "vm")
	if err := os.Remove(root); err != nil {
		t.Fatal(err)
	}
	d.Refused("Failed to open file '"+root+"': no such file or directory", "domblkinfo", "vm", "ubd0")
}
