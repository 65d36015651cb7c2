package guests

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"virtumld/internal/testkit"
)

// blocks are the targets and sources of a domain's disks, one a line.
func blocks(d *testkit.Daemon, args ...string) string {
	lines := d.Lines(append([]string{"domblklist"}, args...)...)
	for i, line := range lines {
		lines[i] = strings.Join(strings.Fields(line), " ")
	}
	return strings.Join(lines, "\n")
}

// unconfined starts the daemon anew so that guests get no namespaces.
func unconfined(d *testkit.Daemon) {
	d.Stop()
	configuration := "config/libvirt/virtumld.conf"
	if d.Identity() == testkit.Root {
		configuration = "etc/libvirt/virtumld.conf"
	}
	d.File(configuration, "contain = \"off\"\n")
	d.Start()
}

// Disks come and go while the guest runs, with and without namespaces. One that
// the guest has mounted stays.
func TestDiskHotplug(t *testing.T) {
	for name, prepare := range map[string]func(*testkit.Daemon){"contained": nil, "plain": unconfined} {
		t.Run(name, func(t *testing.T) {
			testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
				if prepare != nil {
					prepare(d)
				}
				plugAndUnplug(t, d)
			})
		})
	}
}

func plugAndUnplug(t *testing.T, d *testkit.Daemon) {
	d.Boot(testkit.Guest{Name: "vm"})
	shell := d.Shell("vm")
	events := d.Events()
	path := d.Rootfs("data.img")
	before := owner(t, path)
	for range 2 {
		d.OK("attach-disk", "vm", path, "ubd1", "--live")
		events.Await("vm", "event 'device-added' for domain 'vm': ubd1")
		shell.Run("mount -t ext4 /dev/ubdb /mnt && date >/mnt/mark && sync")
		d.Refused("is in use by another guest", "create", d.File("other.xml", d.XML(testkit.Guest{Name: "other", Disk: path})))
		d.Refused("Device is currently open", "detach-disk", "vm", "ubd1", "--live")
		if got := blocks(d, "vm"); !strings.Contains(got, "ubd1 "+path) {
			t.Errorf("after a refused detach the disks are\n%s", got)
		}
		shell.Run("cat /mnt/mark && umount /mnt")
		d.OK("detach-disk", "vm", "ubd1", "--live")
		events.Await("vm", "event 'device-removed' for domain 'vm': ubd1")
		shell.Fail("head -c 1 /dev/ubdb")
		if got := owner(t, path); got != before {
			t.Errorf("after the detach the disk is of %v, before it was of %v", got, before)
		}
		if got := blocks(d, "vm"); strings.Contains(got, path) {
			t.Errorf("after the detach the disks are\n%s", got)
		}
	}
	d.OK("create", d.File("other.xml", d.XML(testkit.Guest{Name: "other", Disk: path})))
	d.OK("destroy", "other")

	// What was attached is there after a restart of the daemon and after a
	// reboot of the guest.
	d.OK("attach-disk", "vm", path, "ubd1", "--persistent")
	d.Kill()
	d.Start()
	for _, args := range [][]string{{"vm"}, {"vm", "--inactive"}} {
		if got := blocks(d, args...); !strings.Contains(got, "ubd1 "+path) {
			t.Errorf("after a restart of the daemon the disks are\n%s", got)
		}
	}
	shell = again(d, "vm")
	shell.Send("reboot -f\n")
	shell.Expect("(?s)Linux version.*" + testkit.Prompt)
	shell.Run("mount -t ext4 /dev/ubdb /mnt && cat /mnt/mark && umount /mnt")
	d.OK("detach-disk", "vm", path, "--live") // by its source
	shell.Fail("head -c 1 /dev/ubdb")
	if got := blocks(d, "vm", "--inactive"); !strings.Contains(got, path) {
		t.Errorf("a live detach has changed the config:\n%s", got)
	}
	// By its alias, when only the config has it, it is not there.
	d.Refused("no device found with alias 'ubd1'", "detach-device-alias", "vm", "ubd1", "--live")
	d.OK("detach-device-alias", "vm", "ubd1", "--config")
	d.OK("destroy", "vm")
	if got := owner(t, path); got != before {
		t.Errorf("after the guest's end the disk is of %v, before it was of %v", got, before)
	}
}

// Every kind of disk, as the guest sees it.
func TestDiskHotplugKinds(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		images(t, d)
		clone(d, "one.cow")
		d.Boot(testkit.Guest{Name: "vm"})
		shell := d.Shell("vm")
		shell.Run("dmesg -n 1") // the kernel tells of every opening
		ro := image(t, d, "odd, name: ro.img", "read only")
		base := d.Rootfs("base.img")
		before := read(t, base)
		made := filepath.Join(d.Dir, "made.cow")

		d.OK("attach-disk", "vm", ro, "vdb", "--mode", "readonly", "--serial", "WD-1", "--live")
		if got := shell.Run("head -c 9 /dev/ubdb; echo; cat /sys/block/ubdb/ro /sys/block/ubdb/serial"); got != "read only\n1\nWD-1" {
			t.Errorf("the guest's read-only disk: %q", got)
		}
		shell.Fail("printf bad | dd of=/dev/ubdb conv=fsync")

		cow := disk("ubd2", made, cowDriver+"<backingStore type='file'><format type='raw'/><source file='"+base+"'/></backingStore>")
		d.OK("attach-device", "vm", d.File("cow.xml", cow), "--live")
		volume := strings.Replace(disk("ubd3", "/volume", cowDriver), "<source file='/volume'/>", "<source pool='images' volume='one.cow'/>", 1)
		d.OK("attach-device", "vm", d.File("volume.xml", strings.Replace(volume, "type='file'", "type='volume'", 1)), "--live")
		for _, device := range []string{"ubdc", "ubdd"} {
			shell.Run("mount -t ext4 /dev/" + device + " /mnt && echo mine >/mnt/root/mark && umount /mnt")
		}
		if read(t, base) != before {
			t.Error("the backing file has changed")
		}
		if got := blockInfo(t, d, "vm", "ubd2", "Capacity"); got != int64(len(before)) {
			t.Errorf("the copy-on-write disk has %d bytes, its backing file %d", got, len(before))
		}
		// A second one over the same backing file, which stays when one goes.
		second := strings.Replace(strings.Replace(cow, made, made+"2", 1), "ubd2", "ubd4", 1)
		d.OK("attach-device", "vm", d.File("second.xml", second), "--live")
		d.OK("detach-disk", "vm", "ubd2", "--live")
		shell.Run("mount -t ext4 /dev/ubde /mnt && umount /mnt")
		d.Refused("is in use", "create", d.File("base.xml", d.XML(testkit.Guest{Name: "base", Disk: base})))
		shell.Send("reboot -f\n")
		shell.Expect("(?s)Linux version.*" + testkit.Prompt)
		shell.Run("mount -t ext4 /dev/ubde /mnt && umount /mnt && mount -t ext4 /dev/ubdd /mnt && cat /mnt/root/mark && umount /mnt")
		for _, target := range []string{"ubd4", "ubd3", "vdb"} {
			d.OK("detach-disk", "vm", target, "--live")
		}
		shell.Fail("head -c 1 /dev/ubde")
	})
}

// Unit 0 of a guest that has none comes and goes, and the kernel lives on.
func TestDiskHotplugUnitZero(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		root, data := d.Rootfs("root.img"), d.Rootfs("data.img")
		document := strings.Replace(d.XML(testkit.Guest{Name: "vm", Disk: root, Top: ""}), "<target dev='ubd0' bus='uml'/>", "<target dev='ubd1' bus='uml'/>", 1)
		document = strings.Replace(document, "</kernel>", "</kernel><root>/dev/ubdb</root>", 1)
		d.Define(document)
		d.OK("start", "vm")
		d.DestroyLater("vm")
		shell := d.Shell("vm")
		d.Refused("No disk found", "detach-disk", "vm", "ubd0", "--live")
		d.Refused("no target device ubd0", "detach-device", "vm", d.File("none.xml", disk("ubd0", "/x", "")), "--live")
		for range 2 {
			d.OK("attach-disk", "vm", data, "ubd0", "--live")
			shell.Run("mount -t ext4 /dev/ubda /mnt && umount /mnt")
			d.OK("detach-disk", "vm", "ubd0", "--live")
			shell.Run("[ $(cat /sys/block/ubda/size) = 0 ]")
		}
		d.OK("attach-disk", "vm", data, "ubd0", "--live")
		shell.Send("reboot -f\n")
		shell.Expect("(?s)Linux version.*" + testkit.Prompt)
		shell.Run("mount -t ext4 /dev/ubda /mnt && umount /mnt")
	})
}

// A disk that the guest has closed can be exchanged for another.
func TestDiskUpdate(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		one, two := image(t, d, "one.img", "one"), image(t, d, "two.img", "two")
		d.Boot(testkit.Guest{Name: "vm", Devices: disk("ubd1", one, "")})
		shell := d.Shell("vm")
		shell.Run("dmesg -n 1") // the kernel tells of every opening
		next := d.File("next.xml", disk("ubd1", two, "<readonly/>"))
		shell.Run("exec 7</dev/ubdb")
		d.Refused("Device is currently open", "update-device", "vm", next, "--live", "--config")
		for _, args := range [][]string{{"vm"}, {"vm", "--inactive"}} {
			if got := blocks(d, args...); !strings.Contains(got, one) {
				t.Errorf("after a refused update the disks are\n%s", got)
			}
		}
		shell.Run("exec 7<&-")
		gone := d.File("gone.xml", disk("ubd1", filepath.Join(d.Dir, "absent.img"), ""))
		d.Refused("absent.img", "update-device", "vm", gone, "--live")
		if got := shell.Run("head -c 3 /dev/ubdb"); got != "one" {
			t.Errorf("after a failed update the guest reads %q", got)
		}
		d.OK("update-device", "vm", next, "--live", "--config")
		if got := shell.Run("head -c 3 /dev/ubdb; echo; cat /sys/block/ubdb/ro"); got != "two\n1" {
			t.Errorf("after the update the guest reads %q", got)
		}
	})
}

// What cannot be had is refused, and the domain is as it was.
func TestDiskHotplugRefused(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		locked := d.Rootfs("locked.img")
		d.Boot(testkit.Guest{Name: "other", Disk: locked})
		d.Boot(testkit.Guest{Name: "vm"})
		folder := filepath.Join(d.Dir, "folder")
		if err := os.Mkdir(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		d.Owned(folder)
		base, changed := d.Rootfs("base.img"), filepath.Join(d.Dir, "changed.cow")
		backing := "<backingStore type='file'><format type='raw'/><source file='" + base + "'/></backingStore>"
		stale := disk("ubd1", changed, cowDriver+backing)
		d.OK("attach-device", "vm", d.File("stale.xml", stale), "--live")
		d.OK("detach-disk", "vm", "ubd1", "--live")
		if err := os.Truncate(base, int64(len(read(t, base)))+4096); err != nil {
			t.Fatal(err)
		}
		spare := d.Rootfs("spare.img")
		live, inactive := d.OK("dumpxml", "vm"), d.OK("dumpxml", "vm", "--inactive")
		for _, c := range []struct{ device, want string }{
			{disk("ubd0", spare, ""), "target ubd0 already exists"},
			{disk("vda", spare, ""), "target vda already exists"},
			{disk("ubd16", spare, ""), "units 0 to 15"},
			{disk("ubd1", filepath.Join(d.Dir, "absent.img"), ""), "no such file or directory"},
			{disk("ubd1", folder, ""), "neither a file nor a block device"},
			{disk("ubd1", folder, "<readonly/>"), "neither a file nor a block device"},
			{disk("ubd1", locked, ""), "is in use by another guest"},
			{disk("ubd1", locked, "<readonly/>"), "is in use by another guest"},
			{disk("ubd1", spare, cowDriver), "spare.img"},
			{stale, "changed.cow"},
		} {
			document := d.File("bad.xml", c.device)
			for _, flags := range [][]string{{"--live"}, {"--live", "--config"}} {
				d.Refused(c.want, append([]string{"attach-device", "vm", document}, flags...)...)
			}
		}
		d.Refused("no target device ubd5", "detach-device", "vm", d.File("none.xml", disk("ubd5", spare, "")))
		d.Refused("no target device ubd5", "update-device", "vm", d.File("none.xml", disk("ubd5", spare, "")))
		if d.OK("dumpxml", "vm") != live || d.OK("dumpxml", "vm", "--inactive") != inactive {
			t.Error("a refused change has changed the domain")
		}
		d.Shell("vm").Run("ls /dev/ubd* | xargs | grep -x /dev/ubda")
		d.OK("attach-disk", "vm", spare, "ubd1", "--live") // nobody holds it
	})
}

// A block device of the host is the guest's user's while it is attached.
func TestDiskHotplugBlockDevice(t *testing.T) {
	t.Parallel()
	d := testkit.Start(t, testkit.Root)
	device := loopDevice(t, d.Rootfs("data.img"))
	before := owner(t, device)
	d.Boot(testkit.Guest{Name: "vm"})
	shell := d.Shell("vm")
	d.OK("attach-disk", "vm", device, "ubd1", "--sourcetype", "block", "--live")
	shell.Run("mount -t ext4 /dev/ubdb /mnt && date >/mnt/mark && umount /mnt")
	if owner(t, device) == before {
		t.Errorf("the device still belongs to %v", before)
	}
	d.OK("detach-disk", "vm", "ubd1", "--live")
	if got := owner(t, device); got != before {
		t.Errorf("after the detach the device belongs to %v, before to %v", got, before)
	}
}
