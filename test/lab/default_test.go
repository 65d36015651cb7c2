package lab

import (
	"strings"
	"testing"

	"virtumld/internal/testkit"
)

// What README.md says of virt-install and the network "default".
func TestVirtInstallOnDefault(t *testing.T) {
	for _, id := range testkit.Identities {
		t.Run(string(id), func(t *testing.T) {
			t.Parallel()
			d := testkit.StartWithDefaultNetwork(t, id)
			r := d.Run("virt-install", "--connect", d.URI, "--virt-type", "uml", "--name", "web", "--memory", "256",
				"--import", "--disk", "path="+d.Rootfs("root.img")+",target.dev=ubda,target.bus=uml",
				"--boot", "kernel="+testkit.Kernel(t)+",kernel_args=root=/dev/ubda rw",
				"--network", "network=default", "--graphics", "none", "--osinfo", "none", "--noautoconsole")
			if r.Code != 0 {
				t.Fatalf("virt-install: %d, %s%s", r.Code, r.Stdout, r.Stderr)
			}
			d.DestroyLater("web")
			shell := d.Shell("web")
			shell.Run("dhcp vec0 && ping -c 3 192.168.122.1")
			if leases := d.OK("net-dhcp-leases", "default"); !strings.Contains(leases, "192.168.122.") {
				t.Errorf("the leases are\n%s", leases)
			}
		})
	}
}
