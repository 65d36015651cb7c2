package e2e

import (
	"strings"
	"testing"

	"virtumld/internal/testkit"
)

// Every change of state, by the calls that make it and the events that tell.
func TestLifecycle(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		d.Define(d.XML(testkit.Guest{Name: "vm", Disk: d.Rootfs("vm.img")}))
		d.DestroyLater("vm")
		events := d.Events()
		for _, step := range []struct {
			command, event, state string
		}{
			{"start vm", "Started Booted", "running (booted)"},
			{"suspend vm", "Suspended Paused", "paused (user)"},
			{"resume vm", "Resumed Unpaused", "running (unpaused)"},
			{"destroy vm", "Stopped Destroyed", "shut off (destroyed)"},
			{"start vm --paused", "Suspended Paused", "paused (user)"},
			{"resume vm", "Resumed Unpaused", "running (unpaused)"},
			{"destroy vm --graceful", "Stopped Destroyed", "shut off (destroyed)"},
		} {
			d.OK(strings.Fields(step.command)...)
			events.Await("vm", step.event)
			if got := d.OK("domstate", "vm", "--reason"); got != step.state {
				t.Errorf("after %q the state is %q, want %q", step.command, got, step.state)
			}
		}
		for _, command := range []string{"shutdown vm", "reboot vm", "suspend vm", "reset vm", "destroy vm"} {
			d.Refused("domain is not running", strings.Fields(command)...)
		}
	})
}

// What a guest does by itself is seen with the right reason.
func TestGuestEndsByItself(t *testing.T) {
	for name, c := range map[string]struct {
		command, top, event, state string
	}{
		"poweroff": {"poweroff -f", "", "Stopped Shutdown", "shut off (shutdown)"},
		"halt":     {"halt -f", "", "Stopped Shutdown", "shut off (shutdown)"},
		"panic":    {"echo c >/proc/sysrq-trigger", "", "Crashed Panicked", "shut off (crashed)"},
		"reboot with on_reboot=destroy": {
			"reboot -f", "<on_reboot>destroy</on_reboot>", "Stopped Shutdown", "shut off (shutdown)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
				events := d.Events()
				d.Boot(testkit.Guest{Name: "vm", Top: c.top})
				console := d.Console("vm")
				console.Expect(testkit.Prompt)
				console.Send(c.command + "\n")
				events.Await("vm", c.event)
				if !strings.Contains(c.event, "Stopped") {
					events.Await("vm", "Stopped")
				}
				if got := d.OK("domstate", "vm", "--reason"); got != c.state {
					t.Errorf("the state is %q, want %q", got, c.state)
				}
				console.Wait()
			})
		})
	}
}

// A reboot keeps the domain running under its id, and says so.
func TestReboot(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		events := d.Events()
		d.Boot(testkit.Guest{Name: "vm"})
		id := d.OK("domid", "vm")
		console := d.Console("vm")
		console.Expect(testkit.Prompt)
		console.Send("reboot -f\n")
		events.Await("vm", "reboot")
		console.Expect(testkit.ShellReady)
		d.OK("reset", "vm")
		console.Expect(testkit.ShellReady)
		if got := d.OK("domid", "vm"); got != id {
			t.Errorf("after the reboots the id is %s, want %s", got, id)
		}
		console.Leave()
	})
}

// A transient domain is gone with its guest; undefining a running one makes it
// transient.
func TestTransient(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		events := d.Events()
		d.OK("create", d.File("vm.xml", d.XML(testkit.Guest{Name: "vm", Disk: d.Rootfs("vm.img")})))
		d.DestroyLater("vm")
		d.Refused("annot undefine transient domain", "undefine", "vm")
		d.Refused("transient domain", "autostart", "vm")
		d.OK("destroy", "vm")
		events.Await("vm", "Stopped Destroyed")
		d.Refused("failed to get domain", "dominfo", "vm")

		d.Boot(testkit.Guest{Name: "other"})
		d.OK("undefine", "other")
		events.Await("other", "Undefined Removed")
		if out := d.OK("dominfo", "other"); !strings.Contains(out, "Persistent:     no") {
			t.Errorf("dominfo after undefine:\n%s", out)
		}
		d.OK("destroy", "other")
		d.Refused("failed to get domain", "dominfo", "other")
	})
}

// A guest with --autodestroy ends with the client that started it.
func TestAutodestroy(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		events := d.Events()
		d.Define(d.XML(testkit.Guest{Name: "vm", Disk: d.Rootfs("vm.img")}))
		d.DestroyLater("vm")
		shell := d.Terminal("virsh", "--connect", d.URI)
		shell.Expect(`virsh # `)
		shell.Send("start vm --autodestroy\n")
		events.Await("vm", "Started Booted")
		shell.Kill()
		events.Await("vm", "Stopped Destroyed")
	})
}

// What virsh asks about a running guest.
func TestQueries(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		d.Boot(testkit.Guest{Name: "vm"})
		for command, want := range map[string]string{
			"dominfo vm":                 "OS Type:        uml",
			"domblklist vm":              "ubd0",
			"domiflist vm":               "Interface",
			"ttyconsole vm":              "/dev/pts/",
			"domcontrol vm":              "ok",
			"domjobinfo vm":              "None",
			"vcpucount vm":               "maximum",
			"dumpxml vm --inactive":      "<domain type='uml'>",
			"dumpxml vm --security-info": "<domain type='uml' id=",
			"dumpxml vm --migratable":    "<domain type='uml'",
			"domstate vm":                "running",
			"desc vm":                    "No description",
			"list --all --managed-save":  "vm",
		} {
			if out := d.OK(strings.Fields(command)...); !strings.Contains(out, want) {
				t.Errorf("virsh %s does not say %q:\n%s", command, want, out)
			}
		}
	})
}
