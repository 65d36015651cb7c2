package networks

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"virtumld/internal/testkit"
)

const lab = `<network>
  <name>lab</name>
  <forward mode='nat'/>
  <domain name='lab.test'/>
  <dns><host ip='10.71.0.77'><hostname>printer</hostname></host></dns>
  <ip address='10.71.0.1' netmask='255.255.255.0'>
    <dhcp>
      <range start='10.71.0.100' end='10.71.0.200'/>
      <host mac='52:54:00:71:00:01' name='one' ip='10.71.0.11'/>
    </dhcp>
  </ip>
</network>
`

// boot starts a guest with an interface on a network.
func boot(d *testkit.Daemon, name, network, mac string) *testkit.Shell {
	d.Boot(testkit.Guest{Name: name, Devices: fmt.Sprintf(
		"<interface type='network'><mac address='%s'/><source network='%s'/></interface>", mac, network)})
	return d.Shell(name)
}

// address has a guest ask for an address, and returns it.
func address(shell *testkit.Shell) string {
	shell.Run("dhcp vec0")
	return strings.TrimSpace(shell.Run("ip -4 -o addr show dev vec0 | sed 's/.*inet //; s/ .*//'"))
}

// meets waits until a guest reaches an address: a network that has just come
// back needs a moment.
func meets(shell *testkit.Shell, ip string) {
	shell.Run("(for i in $(seq 60); do ping -c 1 -W 1 " + ip + " >/dev/null && exit 0; done; exit 1)")
}

// Guests get their addresses, reach each other and the gateway, and do so again
// when the network's process was killed.
func TestGuests(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		d.OK("net-create", write(t, d, "lab.xml", lab))
		one, two := boot(d, "one", "lab", "52:54:00:71:00:01"), boot(d, "two", "lab", "52:54:00:71:00:02")
		if got := address(one); got != "10.71.0.11/24" {
			t.Errorf("the guest with an address of its own has %q", got)
		}
		if got := address(two); !strings.HasPrefix(got, "10.71.0.1") && !strings.HasPrefix(got, "10.71.0.2") {
			t.Errorf("the guest of the range has %q", got)
		}
		meets(two, "10.71.0.11")
		meets(two, "10.71.0.1")
		for name, ip := range map[string]string{"printer": "10.71.0.77", "one.lab.test": "10.71.0.11"} {
			if got := two.Run("nslookup " + name + " 10.71.0.1"); !strings.Contains(got, ip) {
				t.Errorf("%s is not %s: %s", name, ip, got)
			}
		}
		d.OK("net-update", "lab", "add", "dns-host", "<host ip='10.71.0.78'><hostname>scanner</hostname></host>", "--live")
		if got := two.Run("nslookup scanner 10.71.0.1"); !strings.Contains(got, "10.71.0.78") {
			t.Errorf("a name that came while the network runs: %s", got)
		}
		leases := d.OK("net-dhcp-leases", "lab")
		for _, mac := range []string{"52:54:00:71:00:01", "52:54:00:71:00:02"} {
			if !strings.Contains(leases, mac) {
				t.Errorf("no lease of %s in\n%s", mac, leases)
			}
		}
		if only := d.OK("net-dhcp-leases", "lab", "--mac", "52:54:00:71:00:01"); strings.Contains(only, "00:02") {
			t.Errorf("leases of one guest:\n%s", only)
		}

		for _, pid := range processes(d) {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			testkit.AwaitEnd(t, pid)
		}
		meets(two, "10.71.0.11")
		if again := d.OK("net-dhcp-leases", "lab"); again != leases {
			t.Errorf("leases after the process was killed:\n%s\nbefore:\n%s", again, leases)
		}
		d.OK("net-destroy", "lab")
		two.Fail("ping -c 1 -W 2 10.71.0.11")
	})
}
