package kernels

import (
	"strings"
	"testing"

	"virtumld/internal/testkit"
)

// Every kernel tells of its guest, in texts that are understood, and takes
// SysRq commands.
func TestKernelTells(t *testing.T) {
	each(t, func(t *testing.T, d *testkit.Daemon, k subject) {
		d.Boot(testkit.Guest{Name: "vm", Kernel: k.Path})
		shell := d.Shell("vm")
		release := shell.Run("uname -r")
		for _, tt := range []struct{ want, command string }{
			{"available", "dommemstat vm"}, {"swap_out", "dommemstat vm"}, {"balloon.usable=", "domstats vm"},
			{"wr_bytes", "domblkstat vm ubd0"}, {"block.0.fl.reqs=", "domstats vm"}, {"vcpu.0.time=", "domstats vm"},
			{"Time: ", "domtime vm"}, {"uml", "domhostname vm"}, {"ubd0", "domfsinfo vm"}, {release, "guestinfo vm"},
		} {
			if got := d.OK(strings.Fields(tt.command)...); !strings.Contains(got, tt.want) {
				t.Errorf("virsh %s does not tell of %q:\n%s", tt.command, tt.want, got)
			}
		}
		d.OK("send-key", "vm", "KEY_LEFTALT", "KEY_SYSRQ", "KEY_M")
		if log := shell.Run("dmesg"); !strings.Contains(log, "Mem-Info:") {
			t.Errorf("the kernel has not carried out SysRq M:\n%s", log)
		}
	})
}
