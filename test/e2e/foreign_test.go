package e2e

import (
	"path/filepath"
	"testing"

	"virtumld/internal/testkit"
)

// byHand starts a kernel in the instance's uml_dir as a user without virtumld
// would.
func byHand(t *testing.T, d *testkit.Daemon, umid, image string) *testkit.Terminal {
	t.Helper()
	return d.Terminal(testkit.Kernel(t), "mem=64M", "uml_dir="+d.UMLDir(), "umid="+umid, "ubd0="+image,
		"root=/dev/ubda", "rw", "con=null", "ssl=null", "con0=fd:0,fd:1")
}

// A guest that somebody starts by hand with a defined domain's name as its
// umid is that domain's.
func TestGuestStartedByHand(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		image := d.Rootfs("vm.img")
		d.Define(d.XML(testkit.Guest{Name: "vm", Disk: image}))
		events := d.Events()

		hand := byHand(t, d, "vm", image)
		events.Await("vm", "Started Booted")
		if got := d.OK("domstate", "vm", "--reason"); got != "running (unknown)" {
			t.Errorf("the domain is %q", got)
		}
		d.Refused("Domain is already active", "start", "vm")
		hand.Expect(testkit.ShellReady)

		// Its state is the guest's, whoever looks and whenever.
		d.OK("suspend", "vm")
		d.Kill()
		d.Start()
		events = d.Events()
		if got := d.OK("domstate", "vm", "--reason"); got != "paused (user)" {
			t.Errorf("after a restart of the daemon the domain is %q", got)
		}
		d.OK("resume", "vm")
		hand.Send("poweroff -f\n")
		events.Await("vm", "Stopped Shutdown")
		hand.Wait()

		hand = byHand(t, d, "vm", image)
		events.Await("vm", "Started Booted")
		d.OK("destroy", "vm")
		events.Await("vm", "Stopped Destroyed")
		hand.Wait()

		// What it left in the uml_dir is in nobody's way.
		if left, _ := filepath.Glob(filepath.Join(d.UMLDir(), "vm", "*")); len(left) == 0 {
			t.Error("a killed kernel should have left its folder for this test")
		}
		d.OK("start", "vm")
		d.OK("destroy", "vm")
	})
}

// The stock tool of the kernel's management console works beside the daemon.
func TestUMLMconsole(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		d.Boot(testkit.Guest{Name: "vm"})
		names := []string{filepath.Join(d.UMLDir(), "vm", "mconsole")}
		if d.Identity() == testkit.User {
			names = append(names, "vm") // looked for in ~/.uml
		}
		for _, name := range names {
			tool := d.Terminal("uml_mconsole", name, "version")
			tool.Expect(`OK Linux .*`)
			if status := tool.Wait(); status != 0 {
				t.Errorf("uml_mconsole %s version ends with %d", name, status)
			}
		}
		d.OK("suspend", "vm")
		d.OK("resume", "vm")
	})
}
