package kernels

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"virtumld/internal/testkit"
)

// A guest's whole life: it is the kernel that was asked for, and every call
// that changes its state works on it.
func TestLife(t *testing.T) {
	each(t, func(t *testing.T, d *testkit.Daemon, k subject) {
		events := d.Events()
		d.Boot(testkit.Guest{Name: "vm", Kernel: k.Path})
		shell := d.Shell("vm")
		if got := shell.Run("uname -r"); got != k.Release {
			t.Errorf("the guest's kernel is %q, want %q", got, k.Release)
		}
		d.OK("suspend", "vm")
		events.Await("vm", "Suspended Paused")
		d.OK("resume", "vm")
		shell.Run("true")

		shell.Send("reboot -f\n")
		events.Await("vm", "reboot")
		shell.Expect(testkit.Prompt)
		for _, command := range []string{"reset", "reboot"} {
			d.OK(command, "vm")
			shell.Expect(testkit.ShellReady)
			shell.Expect(testkit.Prompt)
			shell.Run("true")
		}
		d.OK("shutdown", "vm")
		events.Await("vm", "Stopped Shutdown")
		if got := d.OK("domstate", "vm", "--reason"); got != "shut off (shutdown)" {
			t.Errorf("after the shutdown the state is %q", got)
		}

		d.OK("start", "vm", "--paused")
		d.OK("resume", "vm")
		d.Shell("vm").Run("true")
		d.OK("destroy", "vm", "--graceful")
		events.Await("vm", "Stopped Destroyed")
	})
}

// A suspended guest does nothing at all: a process that counts as fast as it
// can stands still.
func TestSuspendStopsABusyProcess(t *testing.T) {
	each(t, func(t *testing.T, d *testkit.Daemon, k subject) {
		d.Boot(testkit.Guest{Name: "vm", Kernel: k.Path})
		shell := d.Shell("vm")
		shell.Run("(while :; do :; done) &")
		checkStandsStill(t, d)
		shell.Run("true")
		d.OK("destroy", "vm")
	})
}

// checkStandsStill suspends a guest, finds that it uses no processor time, and
// resumes it.
func checkStandsStill(t *testing.T, d *testkit.Daemon) {
	t.Helper()
	d.OK("suspend", "vm")
	before := cpuTime(t, d)
	for range 20 {
		d.OK("domstate", "vm")
	}
	if after := cpuTime(t, d); after != before {
		t.Errorf("the suspended guest has used the processor: %q became %q", before, after)
	}
	d.OK("resume", "vm")
}

func cpuTime(t *testing.T, d *testkit.Daemon) string {
	t.Helper()
	for _, line := range d.Lines("dominfo", "vm") {
		if strings.HasPrefix(line, "CPU time:") {
			return line
		}
	}
	t.Fatal("dominfo shows no CPU time")
	return ""
}

// Destroy leaves no process, however many the guest has and whatever they do.
func TestDestroyEndsEveryProcess(t *testing.T) {
	each(t, func(t *testing.T, d *testkit.Daemon, k subject) {
		d.Boot(testkit.Guest{Name: "vm", Kernel: k.Path})
		d.Shell("vm").Run("for i in 1 2 3 4 5 6 7 8; do (while :; do :; done) & sleep 1000 & done")
		pids := d.GuestPIDs("vm")
		if len(pids) < 17 {
			t.Errorf("the guest has the processes %v, want the kernel and one for each of its 16", pids)
		}
		d.OK("destroy", "vm")
		checkEnded(t, pids)
	})
}

// checkEnded finds none of the processes.
func checkEnded(t *testing.T, pids []int) {
	t.Helper()
	for _, pid := range pids {
		if err := unix.Kill(pid, 0); err != unix.ESRCH {
			t.Errorf("the process %d is there after destroy", pid)
		}
	}
}

// A panic is told as a crash, a kernel that is killed from outside as a
// failure; neither leaves a process.
func TestSuddenEnds(t *testing.T) {
	each(t, func(t *testing.T, d *testkit.Daemon, k subject) {
		events := d.Events()
		d.Boot(testkit.Guest{Name: "vm", Kernel: k.Path})
		shell := d.Shell("vm")
		shell.Run("(while :; do :; done) &")
		pids := d.GuestPIDs("vm")
		shell.Send("echo c >/proc/sysrq-trigger\n")
		events.Await("vm", "Crashed Panicked")
		events.Await("vm", "Stopped Crashed")
		if got := d.OK("domstate", "vm", "--reason"); got != "shut off (crashed)" {
			t.Errorf("after the panic the state is %q", got)
		}
		awaitEnds(t, pids)

		d.OK("start", "vm")
		d.Shell("vm").Run("(while :; do :; done) &")
		pids = d.GuestPIDs("vm")
		kill(t, d.KernelPID("vm"))
		events.Await("vm", "Stopped Failed")
		awaitEnds(t, pids)
	})
}

func awaitEnds(t *testing.T, pids []int) {
	t.Helper()
	for _, pid := range pids {
		testkit.AwaitEnd(t, pid)
	}
}
