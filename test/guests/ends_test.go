package guests

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"virtumld/internal/testkit"
)

// clean checks that an ext4 image needs no repair.
func clean(t *testing.T, image string) {
	t.Helper()
	out, err := exec.Command("/sbin/dumpe2fs", "-h", image).Output()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(out), "Filesystem state:         clean\n") || strings.Contains(string(out), "needs_recovery") {
		t.Errorf("%s was not unmounted:\n%s", image, out)
	}
	if out, err := exec.Command("/sbin/e2fsck", "-fn", image).CombinedOutput(); err != nil {
		t.Errorf("%s: %v:\n%s", image, err, out)
	}
}

// "virsh shutdown" and "virsh reboot" with an init that powers off at
// control-alt-delete, and with none that would hear it.
func TestShutdown(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		events := d.Events()
		disk := d.Rootfs("vm.img")
		d.Boot(testkit.Guest{Name: "vm", Disk: disk})
		vm := d.Shell("vm")
		vm.Run("echo kept >/root/file")
		d.OK("reboot", "vm")
		events.Await("vm", "reboot")
		vm.Expect(testkit.ShellReady)
		vm.Expect(testkit.Prompt)
		if got := vm.Run("cat /root/file"); got != "kept" {
			t.Errorf("after the reboot the file holds %q", got)
		}
		d.OK("shutdown", "vm")
		events.Await("vm", "Stopped Shutdown")
		clean(t, disk)

		document := d.XML(testkit.Guest{Name: "shell", Disk: d.Rootfs("shell.img")})
		d.Define(strings.Replace(document, "</kernel>", "</kernel><cmdline>init=/bin/sh</cmdline>", 1))
		d.OK("start", "shell")
		d.DestroyLater("shell")
		console := d.Console("shell")
		console.Expect(`# `)
		d.OK("reboot", "shell")
		events.Await("shell", "reboot")
		console.Expect(`BusyBox`)
		console.Expect(`# `)
		d.OK("shutdown", "shell")
		events.Await("shell", "Stopped Shutdown")
		if got := d.OK("domstate", "shell", "--reason"); got != "shut off (shutdown)" {
			t.Errorf("the state is %q", got)
		}
	})
}

// Each lifecycle action, for each end of a guest's own making.
func TestLifecycleActions(t *testing.T) {
	const poweroff, reboot, crash = "poweroff -f", "reboot -f", "echo c >/proc/sysrq-trigger"
	for _, c := range []struct {
		element, command string
		stopped          string            // with destroy
		state            map[string]string // by action
	}{
		{"on_poweroff", poweroff, "Stopped Shutdown", map[string]string{"destroy": "shut off (shutdown)", "restart": "running (booted)", "preserve": "shut off (shutdown)"}},
		{"on_reboot", reboot, "Stopped Shutdown", map[string]string{"destroy": "shut off (shutdown)", "restart": "running (booted)", "preserve": "shut off (shutdown)"}},
		{"on_crash", crash, "Stopped Crashed", map[string]string{"destroy": "shut off (crashed)", "restart": "running (booted)", "preserve": "crashed (panicked)"}},
	} {
		t.Run(c.element, func(t *testing.T) {
			t.Parallel()
			d := testkit.Start(t, testkit.User)
			events := d.Events()
			for action, want := range c.state {
				name := "vm-" + action
				d.Boot(testkit.Guest{Name: name, Top: fmt.Sprintf("<%s>%s</%s>", c.element, action, c.element)})
				vm := d.Shell(name)
				pids := d.GuestPIDs(name)
				ended := endOf(t, pids[0])
				vm.Send(c.command + "\n")
				if c.element == "on_crash" {
					events.Await(name, "Crashed Panicked")
				}
				switch {
				case strings.HasPrefix(want, "shut off"):
					events.Await(name, c.stopped)
				case strings.HasPrefix(want, "running"):
					events.Await(name, "reboot")
				}
				latency(t, ended)
				for _, pid := range pids {
					testkit.AwaitEnd(t, pid) // the preserved one's, too
				}
				if got := d.OK("domstate", name, "--reason"); got != want {
					t.Errorf("%s=%s: the state is %q, want %q", c.element, action, got, want)
				}
				if strings.HasPrefix(want, "running") {
					vm.Expect(testkit.ShellReady)
				}
				if !strings.HasPrefix(want, "shut off") {
					d.OK("destroy", name)
				}
				noZombies(t, d.PID)
			}
		})
	}
}

// endOf is told when the process pid ends.
func endOf(t *testing.T, pid int) <-chan time.Time {
	t.Helper()
	at := make(chan time.Time, 1)
	go func() {
		testkit.AwaitEnd(t, pid)
		at <- time.Now()
	}()
	return at
}

// latency prints how long after a kernel's end its event came.
func latency(t *testing.T, ended <-chan time.Time) {
	t.Helper()
	now := time.Now()
	t.Logf("the event came %v after the kernel's end", now.Sub(<-ended).Round(time.Millisecond))
}

// noZombies looks for children of pid that nobody has waited for.
func noZombies(t *testing.T, pid int) {
	t.Helper()
	out, _ := exec.Command("ps", "--ppid", fmt.Sprint(pid), "-o", "stat=,pid=,args=").Output()
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "Z") {
			t.Errorf("virtumld has the zombie %q", strings.TrimSpace(line))
		}
	}
}

// Whatever is killed from outside, the guest is gone, whole, and said to be.
func TestKilledFromOutside(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		events := d.Events()
		d.Define(d.XML(testkit.Guest{Name: "vm", Disk: d.Rootfs("vm.img")}))
		d.DestroyLater("vm")
		for _, c := range []struct {
			name   string
			victim func(string) int
			signal syscall.Signal
		}{
			{"kernel by SIGKILL", d.KernelPID, syscall.SIGKILL},
			{"kernel by SIGTERM", d.KernelPID, syscall.SIGTERM},
			{"supervisor by SIGKILL", d.SupervisorPID, syscall.SIGKILL},
			{"helper by SIGKILL", func(name string) int { return d.GuestPIDs(name)[1] }, syscall.SIGKILL},
		} {
			t.Run(c.name, func(t *testing.T) {
				d.OK("start", "vm")
				d.Shell("vm")
				pids := append(d.GuestPIDs("vm"), d.SupervisorPID("vm"))
				ended := endOf(t, pids[0])
				kill(t, c.victim("vm"), c.signal)
				if strings.HasPrefix(c.name, "helper") {
					d.OK("destroy", "vm") // what a guest does without is its own affair
				}
				events.Await("vm", "Stopped")
				latency(t, ended)
				told := time.Now()
				for _, pid := range pids {
					testkit.AwaitEnd(t, pid)
				}
				if took := time.Since(told); took > 8*time.Second {
					t.Errorf("the last of the guest's processes ended %v after the event", took)
				}
				got := d.OK("domstate", "vm", "--reason")
				if want := "shut off (failed)"; got != want && !strings.HasPrefix(c.name, "helper") {
					t.Errorf("the state is %q, want %q", got, want)
				}
				if left, _ := filepath.Glob(filepath.Join(filepath.Dir(d.StatusFile("vm")), "guests/*")); len(left) > 0 {
					t.Errorf("left behind: %q", left)
				}
				if left, _ := filepath.Glob(d.UMLDir() + "/*"); len(left) > 0 {
					t.Errorf("left behind: %q", left)
				}
				noZombies(t, d.PID)
			})
		}
	})
}
