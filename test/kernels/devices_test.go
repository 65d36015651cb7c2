package kernels

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"virtumld/internal/cow"
	"virtumld/internal/testkit"
)

// Disks arrive under their units with what their elements say, and writes go
// where they belong.
func TestDisks(t *testing.T) {
	each(t, func(t *testing.T, d *testkit.Daemon, k subject) {
		base := readable(t, d.File("base, v1.img", strings.Repeat("base", 1<<18)))
		fixed := readable(t, d.File("fixed.img", strings.Repeat("ro", 1<<19)))
		d.Boot(testkit.Guest{Name: "vm", Kernel: k.Path, Devices: fmt.Sprintf(`
<disk type='file' device='disk'><source file='%s'/><target dev='ubd1' bus='uml'/><readonly/><serial>number-1</serial></disk>
<disk type='file' device='disk'><driver name='uml' type='cow'/><source file='%s'/><target dev='ubd2' bus='uml'/>
  <backingStore type='file'><format type='raw'/><source file='%s'/></backingStore></disk>
<disk type='file' device='disk'><driver cache='writethrough' discard='ignore'/><source file='%s'/><target dev='ubd3' bus='uml'/></disk>`,
			fixed, cowOn(t, d, base), base, d.File("sync.img", strings.Repeat(" ", 1<<20)))})
		shell := d.Shell("vm")
		shell.Run("dmesg -n 1") // old kernels tell of every opened disk
		for _, c := range []struct{ command, want string }{
			{"cat /sys/block/ubdb/serial", "number-1"},
			{"cat /sys/block/ubdb/size", "2048"},
			{"head -c 4 /dev/ubdb", "roro"},
			{"head -c 8 /dev/ubdc", "basebase"},
			{"printf cow! | dd of=/dev/ubdc bs=4 conv=notrunc,fsync 2>/dev/null; head -c 8 /dev/ubdc", "cow!base"},
			{"printf sync | dd of=/dev/ubdd bs=4 conv=notrunc,fsync 2>/dev/null; head -c 4 /dev/ubdd", "sync"},
			{"echo kept >/kept; sync; cat /kept", "kept"},
		} {
			if got := shell.Run(c.command); got != c.want {
				t.Errorf("in the guest, %q says %q, want %q", c.command, got, c.want)
			}
		}
		shell.Fail("printf x | dd of=/dev/ubdb bs=1 conv=notrunc,fsync")

		d.OK("reset", "vm")
		shell.Expect(testkit.Prompt)
		shell.Run("dmesg -n 1")
		if got := shell.Run("cat /kept; head -c 4 /dev/ubdc; head -c 4 /dev/ubdd"); got != "kept\ncow!sync" {
			t.Errorf("after the reset the disks hold %q", got)
		}
		d.OK("destroy", "vm")
		if data, err := os.ReadFile(base); err != nil || strings.Contains(string(data), "cow!") {
			t.Errorf("the guest has written into the backing file (%v)", err)
		}
	})
}

// readable lets every user read a file: the disks that a guest only reads are
// not given to its user.
func readable(t *testing.T, path string) string {
	t.Helper()
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// cowOn makes a COW file on a backing file.
func cowOn(t *testing.T, d *testkit.Daemon, backing string) string {
	t.Helper()
	path := filepath.Join(d.Dir, "over.cow")
	if err := cow.Create(path, backing); err != nil {
		t.Fatal(err)
	}
	return d.Owned(path)
}

// The guest's root user finds no file of the host, whatever it mounts.
func TestGuestSeesNoFileOfTheHost(t *testing.T) {
	each(t, func(t *testing.T, d *testkit.Daemon, k subject) {
		secret := d.File("secret", "of the host")
		d.Boot(testkit.Guest{Name: "vm", Kernel: k.Path})
		shell := d.Shell("vm")
		for _, folder := range []string{d.Dir, "/etc", "/home"} {
			shell.Fail("mount -t hostfs none /mnt -o " + folder)
		}
		// Whatever it can mount is the root that was made for it.
		for _, folder := range []string{"/", "/..", "../../../../../.."} {
			shell.Run("mount -t hostfs none /mnt -o " + folder)
			for _, path := range []string{secret, d.Socket, "/etc/passwd", "/bin/sh", "/root", "/sys/kernel", "/proc/1/root" + secret} {
				shell.Fail("ls -d /mnt" + path)
			}
			shell.Run("umount /mnt")
		}
		d.OK("destroy", "vm")
	})
}

// A folder of the host as a share.
func TestShare(t *testing.T) {
	each(t, func(t *testing.T, d *testkit.Daemon, k subject) {
		dir := filepath.Join(d.Dir, "share")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "hello"), []byte("from the host\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		d.Boot(testkit.Guest{Name: "vm", Kernel: k.Path, Devices: `
<filesystem type='mount'><source dir='` + d.Owned(dir) + `'/><target dir='files'/><readonly/></filesystem>`})
		shell := d.Shell("vm")
		shell.Run("mount -t hostfs none /mnt -o /share/files")
		if got := shell.Run("cat /mnt/hello"); got != "from the host" {
			t.Errorf("the share holds %q", got)
		}
		shell.Fail("echo no >/mnt/new")
		d.OK("destroy", "vm")
	})
}
