package kernels

import (
	"testing"

	"golang.org/x/sys/unix"

	"virtumld/internal/testkit"
)

// Without namespaces the host ends nothing by itself: what a guest leaves is
// the supervisor's to find. The guest sees no file of the host all the same.
func TestWithoutNamespaces(t *testing.T) {
	each(t, func(t *testing.T, d *testkit.Daemon, k subject) {
		configuration := "config/libvirt/virtumld.conf"
		if d.Identity() == testkit.Root {
			configuration = "etc/libvirt/virtumld.conf"
		}
		d.File(configuration, "contain = \"off\"\n")
		d.Stop()
		d.Start()

		events := d.Events()
		d.Boot(testkit.Guest{Name: "vm", Kernel: k.Path})
		shell := d.Shell("vm")
		shell.Fail("mount -t hostfs none /mnt -o /etc && ls /mnt/passwd")
		const busy = "for i in 1 2 3 4; do (while :; do :; done) & sleep 1000 & done"
		ends := []struct {
			what string
			end  func()
			told string
		}{
			{"destroy", func() { d.OK("destroy", "vm") }, "Stopped Destroyed"},
			{"panic", func() { shell.Send("echo c >/proc/sysrq-trigger\n") }, "Stopped Crashed"},
			{"poweroff", func() { shell.Send("poweroff -f\n") }, "Stopped Shutdown"},
			{"kill", func() { kill(t, d.KernelPID("vm")) }, "Stopped Failed"},
			{"end of the supervisor", func() { kill(t, d.SupervisorPID("vm")) }, "Stopped Failed"},
		}
		for i, e := range ends {
			if i > 0 {
				d.OK("start", "vm")
				shell = d.Shell("vm")
			}
			shell.Run(busy)
			checkStandsStill(t, d)
			pids := d.GuestPIDs("vm")
			t.Log(e.what)
			e.end()
			events.Await("vm", e.told)
			awaitEnds(t, pids)
		}
	})
}

func kill(t *testing.T, pid int) {
	t.Helper()
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
}
