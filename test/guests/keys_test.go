package guests

import (
	"strings"
	"testing"

	"virtumld/internal/testkit"
)

// The keys of stock virsh that reach a guest's kernel, and what has no meaning
// for a guest without keyboard and screen.
func TestKeys(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		d.Boot(testkit.Guest{Name: "vm"})
		shell := d.Shell("vm")
		d.OK("send-key", "vm", "KEY_LEFTALT", "KEY_SYSRQ", "KEY_M")
		for _, want := range []string{"sysrq: Show Memory", "Mem-Info:"} {
			if log := shell.Run("dmesg"); !strings.Contains(log, want) {
				t.Errorf("%q is not in the kernel's log:\n%s", want, log)
			}
		}
		d.Refused("has no keyboard", "send-key", "vm", "KEY_LEFTCTRL", "KEY_LEFTALT", "KEY_DELETE")
		d.Refused("can crash", "send-key", "vm", "KEY_LEFTALT", "KEY_SYSRQ", "KEY_T")
		d.Refused("has no NMI", "inject-nmi", "vm")
		d.Refused("code set", "send-key", "vm", "--codeset", "xt", "56", "99", "35")
		d.Refused("has no screen", "screenshot", "vm", "/dev/null")

		d.OK("suspend", "vm")
		d.OK("send-key", "vm", "KEY_LEFTALT", "KEY_SYSRQ", "KEY_M") // a paused kernel listens, too
		d.OK("resume", "vm")

		events := d.Events()
		d.OK("send-key", "vm", "KEY_LEFTALT", "KEY_SYSRQ", "KEY_S", "KEY_U", "KEY_O")
		events.Await("vm", "Stopped")
		d.Refused("domain is not running", "send-key", "vm", "KEY_LEFTALT", "KEY_SYSRQ", "KEY_M")
	})
}
