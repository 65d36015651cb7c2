package kernels

import (
	"fmt"
	"strings"
	"testing"

	"virtumld/internal/testkit"
)

// With the least memory that a domain may have, a kernel gets ready. What its
// programs then need is their affair: while a kernel boots, its helpers for
// hotplugged devices may take all of it on a busy host.
func TestLeastMemory(t *testing.T) {
	each(t, func(t *testing.T, d *testkit.Daemon, k subject) {
		disk := d.Rootfs("vm.img")
		const usual = "<memory unit='MiB'>128</memory>"
		document := d.XML(testkit.Guest{Name: "vm", Kernel: k.Path, Disk: disk})
		if !strings.Contains(document, usual) {
			t.Fatalf("no %s in\n%s", usual, document)
		}
		d.Define(strings.Replace(document, usual, "<memory unit='MiB'>32</memory>", 1))
		d.OK("start", "vm")
		d.Virsh("destroy", "vm") // it may have ended by itself

		least := strings.Replace(document, usual, "<memory unit='KiB'>32764</memory>", 1)
		d.Refused("at least 32768 KiB", "define", d.File("small.xml", least))
	})
}

// Several processors work where the kernel has them, and are refused where it
// has not.
func TestProcessors(t *testing.T) {
	each(t, func(t *testing.T, d *testkit.Daemon, k subject) {
		guest := testkit.Guest{Name: "vm", Kernel: k.Path, Disk: d.Rootfs("vm.img")}
		if k.SMP {
			guest.Top = fmt.Sprintf("<vcpu>%d</vcpu>", k.NrCPUs+1)
			d.Refused("<vcpu>", "define", d.File("many.xml", d.XML(guest)))
		}
		guest.Top = "<vcpu>2</vcpu>"
		if !k.SMP {
			d.Refused("not built for more than one processor", "define", d.File("two.xml", d.XML(guest)))
			return
		}
		d.Boot(guest)
		shell := d.Shell("vm")
		if got := shell.Run("nproc"); got != "2" {
			t.Errorf("the guest has %s processors, want 2", got)
		}
		checkBusyGuest(t, d, shell)
	})
}

// The seccomp mode, which a domain may ask for, changes nothing that can be
// seen from outside.
func TestSeccompMode(t *testing.T) {
	each(t, func(t *testing.T, d *testkit.Daemon, k subject) {
		if !k.SeccompOption {
			t.Skip("this kernel has no seccomp mode")
		}
		document := d.XML(testkit.Guest{Name: "vm", Kernel: k.Path, Disk: d.Rootfs("vm.img")})
		d.Define(strings.Replace(document, "</os>", "<cmdline>seccomp=on</cmdline></os>", 1))
		d.DestroyLater("vm")
		d.OK("start", "vm")
		shell := d.Shell("vm")
		checkBusyGuest(t, d, shell)
	})
}

// checkBusyGuest takes a guest whose processors are all busy through every
// state; a busy guest is where the ways in which kernels run processes differ.
// It destroys the guest.
func checkBusyGuest(t *testing.T, d *testkit.Daemon, shell *testkit.Shell) {
	t.Helper()
	events := d.Events()
	const busy = "for i in 1 2 3 4; do (while :; do :; done) & done"
	shell.Run(busy)
	checkStandsStill(t, d)
	shell.Run("true")
	d.OK("reset", "vm")
	shell.Expect(testkit.Prompt)
	shell.Run(busy)
	shell.Send("reboot -f\n")
	events.Await("vm", "reboot")
	shell.Expect(testkit.ShellReady)
	shell.Expect(testkit.Prompt)
	shell.Run(busy)
	pids := d.GuestPIDs("vm")
	shell.Send("echo c >/proc/sysrq-trigger\n")
	events.Await("vm", "Stopped Crashed")
	awaitEnds(t, pids)

	d.OK("start", "vm")
	d.Shell("vm").Run(busy)
	d.OK("suspend", "vm")
	d.Kill() // the next daemon has to know how the guest was stopped
	d.Start()
	events = d.Events()
	d.OK("resume", "vm")
	d.OK("shutdown", "vm")
	events.Await("vm", "Stopped Shutdown")

	d.OK("start", "vm")
	d.Shell("vm").Run(busy)
	pids = d.GuestPIDs("vm")
	d.OK("destroy", "vm")
	checkEnded(t, pids)

	d.OK("start", "vm")
	d.OK("suspend", "vm")
	d.OK("destroy", "vm", "--graceful")
	if got := d.OK("domstate", "vm", "--reason"); got != "shut off (destroyed)" {
		t.Errorf("after the end of the suspended guest the state is %q", got)
	}
}
