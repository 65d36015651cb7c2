package guests

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"virtumld/internal/testkit"
)

// image makes a raw disk of 1 MiB for the daemon's user, beginning with text.
func image(t *testing.T, d *testkit.Daemon, name, text string) string {
	t.Helper()
	path := d.File(name, text)
	if err := os.Truncate(path, 1<<20); err != nil {
		t.Fatal(err)
	}
	return path
}

// disk is a <disk> with more elements or attributes inside.
func disk(target, path, more string) string {
	return fmt.Sprintf("<disk type='file' device='disk'><source file='%s'/><target dev='%s'/>%s</disk>\n", path, target, more)
}

// Every property of a disk, as the guest sees it.
func TestDisks(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		secret := d.File("secret", "host secret")
		plain, ro := image(t, d, "plain.img", "plain"), image(t, d, "ro.img", "read only")
		shared, holes := image(t, d, "shared, with: odd name.img", "shared"), d.File("holes.img", strings.Repeat("x", 1<<20))
		cow := image(t, d, "cow.img", "")
		write(t, cow, cowHeader(secret)+strings.Repeat("\x00", 1<<20))
		devices := disk("hdb", plain, "<serial>WD-1234_x</serial><driver name='uml' type='raw' cache='writethrough'/>") +
			disk("sdc", ro, "<readonly/>") + disk("vdd", shared, "<shareable/>") +
			disk("ubd4", cow, "<driver name='uml' type='raw'/>") + disk("ubdf", holes, "<driver name='uml' type='raw' discard='unmap'/>")
		d.Boot(testkit.Guest{Name: "vm", Devices: devices})
		d.Boot(testkit.Guest{Name: "other", Devices: disk("ubdb", shared, "<shareable/>")})
		vm, other := d.Shell("vm"), d.Shell("other")
		vm.Run("dmesg -n 1") // the kernel tells of every opening
		other.Run("dmesg -n 1")

		for _, c := range []struct{ command, want string }{
			{"cat /sys/block/ubdb/serial", "WD-1234_x"},
			{"cat /sys/block/ubdc/ro", "1"},
			{"cat /sys/block/ubdb/ro", "0"},
			{"head -c 5 /dev/ubdb", "plain"},
			{"head -c 9 /dev/ubdc", "read only"},
			{"printf new | dd of=/dev/ubdb conv=fsync status=none", ""},
			{"printf mine | dd of=/dev/ubdd conv=fsync status=none", ""},
			{"blkdiscard /dev/ubdf && echo gone", "gone"},
			// A kernel looks for the size where the header says (ubd_file_size)
			// and finds no such file in the guest's root.
			{"ls /dev/ubd? | xargs", "/dev/ubda /dev/ubdb /dev/ubdc /dev/ubdd /dev/ubdf"},
		} {
			if got := vm.Run(c.command); got != c.want {
				t.Errorf("in the guest, %q says %q, want %q", c.command, got, c.want)
			}
		}
		vm.Fail("printf bad | dd of=/dev/ubdc conv=fsync")
		vm.Run("sync")
		if got := read(t, ro)[:9]; got != "read only" {
			t.Errorf("the guest wrote %q to its read-only disk", got)
		}
		if got := read(t, plain)[:3]; got != "new" {
			t.Errorf("the disk begins with %q after the guest's write", got)
		}
		if got := other.Run("head -c 4 /dev/ubdb"); got != "mine" {
			t.Errorf("the other guest reads %q from the shared disk", got)
		}
		if got := allocated(t, holes); got >= 1<<20 {
			t.Errorf("after a discard the image still takes %d bytes", got)
		}
		vm.Run("exec 7</dev/ubdb 8</dev/ubdf")
		checkOpenFlags(t, d.KernelPID("vm"), map[string]bool{"/disk1": true, "/disk5": false})
		d.Refused("in use", "create", d.File("third.xml", d.XML(testkit.Guest{Name: "third", Disk: shared})))
	})
}

// cowHeader is a version 3 copy-on-write header over backing, as a guest could
// write it onto a raw disk (arch/um/drivers/cow_user.c).
func cowHeader(backing string) string {
	header := make([]byte, 8192)
	binary.BigEndian.PutUint32(header[0:], 0x4f4f4f4d)
	binary.BigEndian.PutUint32(header[4:], 3)
	if info, err := os.Stat(backing); err == nil {
		binary.BigEndian.PutUint32(header[8:], uint32(info.ModTime().Unix()))
		binary.BigEndian.PutUint64(header[12:], uint64(info.Size()))
	}
	binary.BigEndian.PutUint32(header[20:], 512)
	binary.BigEndian.PutUint32(header[24:], 4096)
	copy(header[32:], backing)
	return string(header)
}

// allocated is how many bytes of the host a file takes.
func allocated(t *testing.T, path string) int64 {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Blocks * 512
}

// checkOpenFlags looks for O_SYNC on the descriptors that a guest's kernel has
// on its files.
func checkOpenFlags(t *testing.T, pid int, want map[string]bool) {
	t.Helper()
	seen := map[string]bool{}
	links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, link := range links {
		target, err := os.Readlink(link)
		synced, named := want[target]
		if err != nil || !named {
			continue
		}
		seen[target] = true
		var position, flags int
		info := read(t, strings.Replace(link, "/fd/", "/fdinfo/", 1))
		if _, err := fmt.Sscanf(info, "pos: %d\nflags: %o", &position, &flags); err != nil {
			t.Fatalf("%v in\n%s", err, info)
		}
		if got := flags&syscall.O_SYNC == syscall.O_SYNC; got != synced {
			t.Errorf("%s is open with O_SYNC %v, want %v", target, got, synced)
		}
	}
	if len(seen) != len(want) {
		t.Errorf("of %v open are %v", want, seen)
	}
}

// A disk that one guest writes to is no other's, by whatever name, a kernel
// that somebody starts by hand included.
func TestDiskInUse(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		path := d.Rootfs("root.img")
		hard, soft := filepath.Join(d.Dir, "hard.img"), filepath.Join(d.Dir, "soft.img")
		if err := os.Link(path, hard); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, soft); err != nil {
			t.Fatal(err)
		}
		d.Boot(testkit.Guest{Name: "vm", Disk: path})
		for name, c := range map[string]struct{ disk, more string }{
			"same": {path, ""}, "hard": {hard, ""}, "soft": {soft, ""},
			"second": {d.Rootfs("second.img"), disk("ubd1", path, "")},
			"reader": {d.Rootfs("reader.img"), disk("ubd1", path, "<readonly/>")},
			"sharer": {d.Rootfs("sharer.img"), disk("ubd1", hard, "<shareable/>")},
		} {
			d.Define(d.XML(testkit.Guest{Name: name, Disk: c.disk, Devices: c.more}))
			d.DestroyLater(name)
			d.Refused("is in use by another guest", "start", name)
		}
		own := disk("ubd1", path, "")
		d.Define(d.XML(testkit.Guest{Name: "twice", Disk: hard, Devices: own}))
		d.DestroyLater("twice")
		d.Refused("is in use", "start", "twice")
		d.OK("destroy", "vm")
		d.Refused("is in use", "start", "twice") // by itself

		hand := byHand(t, d, path)
		hand.Expect(testkit.ShellReady)
		d.Refused("is in use", "start", "same")
		hand.Send("poweroff -f\n")
		hand.Wait()
		d.OK("start", "same")
		hand = byHand(t, d, path)
		hand.Expect(`(?i)failed to lock|lock.*failed|can't open|Kernel panic`)
		hand.Wait()
	})
}

// byHand starts a kernel as a user without virtumld would.
func byHand(t *testing.T, d *testkit.Daemon, image string) *testkit.Terminal {
	t.Helper()
	dir := filepath.Join(d.Dir, "by-hand")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	d.Owned(dir)
	return d.Terminal(testkit.Kernel(t), "mem=64M", "uml_dir="+dir, "umid=hand", "ubd0="+image,
		"root=/dev/ubda", "rw", "con=null", "ssl=null", "con0=fd:0,fd:1", "noreboot")
}

// Copy-on-write disks over one base image.
func TestCopyOnWrite(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		base := d.Rootfs("base.img")
		before := read(t, base)
		clone := func(name string) string {
			return d.XML(testkit.Guest{Name: name, Disk: filepath.Join(d.Dir, name+".cow")})
		}
		backing := "<driver name='uml' type='cow'/><backingStore type='file'><format type='raw'/><source file='" + base + "'/></backingStore>"
		for _, name := range []string{"one", "two"} {
			document := strings.Replace(clone(name), "<target dev='ubd0' bus='uml'/>", "<target dev='ubd0' bus='uml'/>"+backing, 1)
			d.Define(document)
			d.OK("start", name)
			d.DestroyLater(name)
		}
		one, two := d.Shell("one"), d.Shell("two")
		one.Run("echo one >/root/mine; sync")
		two.Fail("cat /root/mine")
		two.Run("echo two >/root/mine; sync")
		d.Refused("is in use", "create", d.File("base.xml", d.XML(testkit.Guest{Name: "base", Disk: base})))
		d.OK("shutdown", "one")
		awaitState(t, d, "one", "shut off")
		d.OK("start", "one") // the file exists by now
		one = d.Shell("one")
		if got := one.Run("cat /root/mine"); got != "one" {
			t.Errorf("after a restart the clone holds %q", got)
		}
		d.OK("destroy", "one")
		d.OK("destroy", "two")
		if read(t, base) != before {
			t.Error("the base image has changed")
		}
		if got := allocated(t, filepath.Join(d.Dir, "one.cow")); got > 8<<20 {
			t.Errorf("the clone of a 16 MiB image takes %d bytes", got)
		}
		// The same file without a word of its backing file: the header knows.
		alone := strings.Replace(clone("three"), "<target dev='ubd0' bus='uml'/>", "<target dev='ubd0' bus='uml'/><driver name='uml' type='cow'/>", 1)
		d.OK("create", d.File("three.xml", strings.Replace(alone, "three.cow", "one.cow", 1)))
		d.DestroyLater("three")
		if got := d.Shell("three").Run("cat /root/mine"); got != "one" {
			t.Errorf("without <backingStore> the clone holds %q", got)
		}
		d.OK("destroy", "three")

		later := time.Now().Add(time.Hour)
		if err := os.Chtimes(base, later, later); err != nil {
			t.Fatal(err)
		}
		d.Refused("the backing file was modified", "start", "one")
		d.Refused("cannot look at the backing file", "create", d.File("gone.xml", strings.Replace(alone, "three.cow", cowOver(t, d), 1)))
	})
}

// A backing file where the guest has a folder of its own.
func TestBackingInSharedMemory(t *testing.T) {
	t.Parallel()
	d := testkit.Start(t, testkit.User)
	dir, err := os.MkdirTemp("/dev/shm", "vml")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	d.Owned(dir)
	base := filepath.Join(dir, "base.img")
	if out, err := exec.Command("cp", "--sparse=always", d.Rootfs("base.img"), base).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	d.Owned(base)
	document := d.XML(testkit.Guest{Name: "vm", Disk: filepath.Join(d.Dir, "vm.cow")})
	document = strings.Replace(document, "<target dev='ubd0' bus='uml'/>",
		"<target dev='ubd0' bus='uml'/><driver name='uml' type='cow'/><backingStore type='file'><format type='raw'/><source file='"+base+"'/></backingStore>", 1)
	d.OK("create", d.File("vm.xml", document))
	d.DestroyLater("vm")
	d.Shell("vm").Run("echo written >/root/file")
}

// cowOver makes a copy-on-write file whose backing file is gone.
func cowOver(t *testing.T, d *testkit.Daemon) string {
	t.Helper()
	gone := image(t, d, "gone.img", "")
	d.File("orphan.cow", cowHeader(gone))
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	return "orphan.cow"
}

// awaitState waits for the event that ends in a state.
func awaitState(t *testing.T, d *testkit.Daemon, name, want string) {
	t.Helper()
	for deadline := time.Now().Add(testkit.Patience); ; {
		got := d.OK("domstate", name)
		if got == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%q is %q, not %q", name, got, want)
		}
	}
}

// loopDevice is a block device of the host over a file, for the test's time.
func loopDevice(t *testing.T, path string) string {
	t.Helper()
	out, err := exec.Command("losetup", "--find", "--show", path).CombinedOutput()
	if err != nil {
		t.Skipf("no loop devices here: %v: %s", err, out)
	}
	device := strings.TrimSpace(string(out))
	t.Cleanup(func() {
		if out, err := exec.Command("losetup", "--detach", device).CombinedOutput(); err != nil {
			t.Errorf("cannot detach %s: %v: %s", device, err, out)
		}
	})
	return device
}

// A block device of the host.
func TestBlockDevice(t *testing.T) {
	t.Parallel()
	d := testkit.Start(t, testkit.Root)
	path := d.Rootfs("root.img")
	device := loopDevice(t, path)
	before := owner(t, device)
	document := strings.Replace(d.XML(testkit.Guest{Name: "vm", Disk: device}), "<disk type='file' device='disk'><source file=", "<disk type='block' device='disk'><source dev=", 1)
	d.Define(document)
	d.OK("start", "vm")
	d.DestroyLater("vm")
	shell := d.Shell("vm")
	shell.Run("echo here >/root/mark; sync")
	if owner(t, device) == before {
		t.Errorf("the device still belongs to %v", before)
	}
	d.Define(strings.Replace(document, ">vm<", ">other<", 1))
	d.Refused("is in use", "start", "other")
	if got := d.OK("domblklist", "vm"); !strings.Contains(got, device) {
		t.Errorf("domblklist:\n%s", got)
	}
	if got, want := blockInfo(t, d, "vm", "ubd0", "Capacity"), size(t, path); got != want {
		t.Errorf("the device has a capacity of %d bytes, want %d", got, want)
	}
	d.OK("destroy", "vm")
	if got := owner(t, device); got != before {
		t.Errorf("after the guest's end the device belongs to %v, before to %v", got, before)
	}
}
