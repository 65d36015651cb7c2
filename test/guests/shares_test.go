package guests

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"virtumld/internal/testkit"
)

// folder makes a folder that the daemon's user and its guests' may use.
func folder(t *testing.T, d *testkit.Daemon, name string) string {
	t.Helper()
	path := filepath.Join(d.Dir, name)
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	d.Owned(path)
	if err := os.Chmod(path, 0o777); err != nil {
		t.Fatal(err)
	}
	return path
}

// share is a <filesystem>.
func share(dir, target, more string) string {
	return fmt.Sprintf("<filesystem type='mount'><source dir='%s'/><target dir='%s'/>%s</filesystem>\n", dir, target, more)
}

// Shared folders, read-write and read-only, and folders that a guest has
// filled with links to elsewhere.
func TestShares(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		rw, ro, deep := folder(t, d, "rw"), folder(t, d, "read only, odd"), folder(t, d, "deep")
		secret := d.File("secret", "host secret")
		public := filepath.Join(ro, "file")
		write(t, public, "from the host")
		if err := os.Chmod(public, 0o666); err != nil {
			t.Fatal(err)
		}
		for name, target := range map[string]string{"secret": secret, "up": "../secret", "root": "/", "self": "/proc/self/root", "one": "/proc/1/root" + secret} {
			if err := os.Symlink(target, filepath.Join(rw, name)); err != nil {
				t.Fatal(err)
			}
		}
		d.Boot(testkit.Guest{Name: "vm", Devices: share(rw, "rw", "") + share(ro, "/data/ro", "<readonly/>") + share(deep, "deep", "")})
		vm := d.Shell("vm")
		vm.Run("mkdir /mnt/rw /mnt/ro /mnt/deep")
		vm.Run("mount -t hostfs none /mnt/rw -o /share/rw && mount -t hostfs none /mnt/ro -o /share/data/ro")
		vm.Run("mount -t hostfs none /mnt/deep -o /share/deep")

		vm.Run("echo from the guest >/mnt/rw/new")
		if got := read(t, filepath.Join(rw, "new")); got != "from the guest\n" {
			t.Errorf("the guest wrote %q", got)
		}
		if got := vm.Run("cat /mnt/ro/file"); got != "from the host" {
			t.Errorf("the guest reads %q", got)
		}
		for _, command := range []string{
			"echo bad >/mnt/ro/file", "echo bad >/mnt/ro/new", "rm -f /mnt/ro/file", "chmod 600 /mnt/ro/file",
			"mount -o remount,rw /mnt/ro && echo bad >/mnt/ro/file",
			"umount /mnt/ro; mount -t hostfs -o rw,/share/data/ro none /mnt/ro && echo bad >/mnt/ro/file",
		} {
			vm.Fail(command)
		}
		if got := read(t, public); got != "from the host" {
			t.Errorf("the guest has changed its read-only share to %q", got)
		}
		// A link is the guest's own affair: it leads to the guest's files.
		for _, command := range []string{"cat /mnt/rw/secret", "cat /mnt/rw/up", "cat /mnt/rw/one", "ls /mnt/rw/root" + d.Dir, "ls /mnt/rw/self" + d.Dir} {
			vm.Fail(command)
		}
		// A link in the path that hostfs itself is to mount, made by the guest.
		vm.Run("ln -s " + d.Dir + " /mnt/deep/out; ln -s / /mnt/deep/top; ln -s /proc/1/root /mnt/deep/proc")
		for _, option := range []string{"/share/deep/out", "/share/deep/top" + d.Dir, "/share/deep/proc" + d.Dir, "/share/rw/secret"} {
			vm.Fail("mkdir -p /tmp/m; mount -t hostfs none /tmp/m -o " + option + " && cat /tmp/m/secret")
		}
	})
}

// A folder of the host as the root filesystem, written to or not.
func TestHostfsRoot(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		tree := unpacked(t, d)
		readOnly := ""
		if d.Identity() == testkit.Root {
			readOnly = "<readonly/>" // its guests' user owns nothing there
		}
		d.OK("create", d.File("vm.xml", fmt.Sprintf(`<domain type='uml'>
  <name>vm</name><memory unit='MiB'>128</memory>
  <os><type>uml</type><kernel>%s</kernel></os>
  <devices>%s<console type='pty'/></devices>
</domain>`, testkit.Kernel(t), share(tree, "/", readOnly))))
		d.DestroyLater("vm")
		vm := d.Shell("vm")
		if got := vm.Run("grep ' / ' /proc/mounts | tail -n 1"); !strings.Contains(got, "hostfs") {
			t.Errorf("the root is %q", got)
		}
		vm.Fail("ls " + d.Dir)
		if readOnly != "" {
			vm.Fail("mount -o remount,rw /; echo bad >/root/file")
			return
		}
		vm.Run("echo from the guest >/root/file")
		if got := read(t, filepath.Join(tree, "root/file")); got != "from the guest\n" {
			t.Errorf("the guest wrote %q", got)
		}
	})
}

// unpacked is the files of the tests' image in a folder of the daemon's user.
func unpacked(t *testing.T, d *testkit.Daemon) string {
	t.Helper()
	tree := folder(t, d, "tree")
	image := d.Rootfs("tree.img")
	out, err := exec.Command("/sbin/debugfs", "-R", "rdump / "+tree, image).CombinedOutput()
	if err != nil {
		t.Fatalf("debugfs: %v: %s", err, out)
	}
	err = filepath.WalkDir(tree, func(path string, _ fs.DirEntry, err error) error {
		if err == nil {
			d.Owned(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}
