package guests

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"virtumld/internal/testkit"
)

// ownership is a file's user, group and mode.
type ownership struct {
	uid, gid uint32
	mode     uint32
}

func owner(t *testing.T, path string) ownership {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return ownership{st.Uid, st.Gid, st.Mode}
}

// The system instance gives disks to its guests' user and takes them back,
// however the guest ends.
func TestOwners(t *testing.T) {
	t.Parallel()
	d := testkit.Start(t, testkit.Root)
	disk, second := d.Rootfs("vm.img"), image(t, d, "second.img", "")
	if err := os.Chown(second, 12345, 23456); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(second, 0o640); err != nil {
		t.Fatal(err)
	}
	before := map[string]ownership{disk: owner(t, disk), second: owner(t, second)}
	d.Define(d.XML(testkit.Guest{Name: "vm", Disk: disk, Devices: "<disk type='file'><source file='" + second + "'/><target dev='ubd1'/></disk>"}))
	d.DestroyLater("vm")
	events := d.Events()
	restored := func(t *testing.T) {
		t.Helper()
		for path, want := range before {
			if got := owner(t, path); got != want {
				t.Errorf("%s belongs to %v, before to %v", filepath.Base(path), got, want)
			}
		}
	}
	for _, c := range []struct {
		name  string
		end   func(t *testing.T, shell *testkit.Shell)
		event string
	}{
		{"shutdown", func(*testing.T, *testkit.Shell) { d.OK("shutdown", "vm") }, "Stopped Shutdown"},
		{"destroy", func(*testing.T, *testkit.Shell) { d.OK("destroy", "vm") }, "Stopped Destroyed"},
		{"crash", func(_ *testing.T, s *testkit.Shell) { s.Send("echo c >/proc/sysrq-trigger\n") }, "Stopped Crashed"},
		{"kernel killed", func(t *testing.T, _ *testkit.Shell) { kill(t, d.KernelPID("vm"), syscall.SIGKILL) }, "Stopped Failed"},
		{"supervisor killed", func(t *testing.T, _ *testkit.Shell) { kill(t, d.SupervisorPID("vm"), syscall.SIGKILL) }, "Stopped"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d.OK("start", "vm")
			shell := d.Shell("vm")
			guest := uint32(guestUID(t, d.KernelPID("vm")))
			if guest == 0 {
				t.Error("the guest runs as root")
			}
			for path := range before {
				if got := owner(t, path); got.uid != guest {
					t.Errorf("%s belongs to %v while the guest runs as %d", filepath.Base(path), got, guest)
				}
			}
			c.end(t, shell)
			events.Await("vm", c.event)
			restored(t)
		})
	}
	t.Run("daemon killed", func(t *testing.T) {
		d.OK("start", "vm")
		shell := d.Shell("vm")
		supervisor := d.SupervisorPID("vm")
		d.Kill()
		_ = shell
		kill(t, d.KernelPID("vm"), syscall.SIGTERM)
		testkit.AwaitEnd(t, supervisor)
		restored(t)
		d.Start()
		if got := d.OK("domstate", "vm"); got != "shut off" {
			t.Errorf("the state is %q", got)
		}
	})
	t.Run("daemon and supervisor killed", func(t *testing.T) {
		d.OK("start", "vm")
		supervisor, kernel := d.SupervisorPID("vm"), d.KernelPID("vm")
		d.Kill()
		kill(t, supervisor, syscall.SIGKILL)
		testkit.AwaitEnd(t, kernel)
		d.Start()
		if got := d.OK("domstate", "vm"); got != "shut off" {
			t.Errorf("the state is %q", got)
		}
		restored(t)
	})
}

func kill(t *testing.T, pid int, signal syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, signal); err != nil {
		t.Fatal(err)
	}
}

// guestUID is the user of a process.
func guestUID(t *testing.T, pid int) int {
	t.Helper()
	return statusNumber(t, pid, "Uid", 10)
}
