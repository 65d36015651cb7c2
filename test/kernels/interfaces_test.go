package kernels

import (
	"testing"

	"virtumld/internal/testkit"
)

// Interfaces are there from the start, and come and go, on every kernel.
func TestInterfaces(t *testing.T) {
	each(t, func(t *testing.T, d *testkit.Daemon, k subject) {
		const user = `<interface type='user'/>`
		d.Boot(testkit.Guest{Name: "vm", Kernel: k.Path, Devices: user})
		shell := d.Shell("vm")
		shell.Run("dhcp vec0 && ping -c 3 10.0.2.2")
		const mac = "<interface type='user'><mac address='52:54:00:00:00:09'/></interface>"
		second := d.File("second.xml", mac)
		for range 2 {
			d.OK("attach-device", "vm", second)
			shell.Run("ip link set vec0 down && dhcp vec1 && ping -c 3 10.0.2.2")
			d.Refused("ip link set vec1 down", "detach-device", "vm", second)
			shell.Run("ip link set vec1 down")
			d.OK("detach-device", "vm", second)
			shell.Fail("ip link show vec1")
		}
		shell.Run("dhcp vec0 && ping -c 3 10.0.2.2")
	})
}
