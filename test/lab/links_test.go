package lab

import (
	"testing"

	"virtumld/internal/testkit"
)

const far = `<network>
  <name>far</name>
  <metadata><l:links xmlns:l='urn:virtumld:links'><l:link delay='15'/></l:links></metadata>
  <ip address='10.81.0.1' netmask='255.255.255.0'>
    <dhcp><range start='10.81.0.2' end='10.81.0.9'/></dhcp>
  </ip>
</network>
`

// Links are as bad as the metadata of the network or of the domain says, the
// domain's first.
func TestLinks(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		d.OK("net-create", d.File("far.xml", far))
		d.Boot(testkit.Guest{
			Name: "vm",
			Top: `<metadata><l:links xmlns:l='urn:virtumld:links'>
				<l:link interface='vec1' delay='25' jitter='5'/><l:link interface='vec2' loss='1'/></l:links></metadata>`,
			Devices: `<interface type='network'><source network='far'/></interface>
				<interface type='network'><source network='far'/></interface>
				<interface type='user'/>`,
		})
		shell := d.Shell("vm")
		for device, least := range map[string]float64{"vec0": 30, "vec1": 40} {
			shell.Run("dhcp " + device)
			if fastest := roundTrip(t, shell.Run("ping -c 3 10.81.0.1")); fastest < least {
				t.Errorf("the fastest ping by %s took %v ms, want %v at least", device, fastest, least)
			}
			shell.Run("ip link set " + device + " down")
		}
		shell.Run("ip link set vec2 up && ip addr add 10.0.2.15/24 dev vec2")
		shell.Fail("ping -c 3 -W 1 10.0.2.2")
	})
}

// What is wrong with a link is said when it is defined.
func TestBadLinks(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		const bad = `<metadata><l:links xmlns:l='urn:virtumld:links'><l:link loss='10%'/></l:links></metadata>`
		const want = "loss='10%' is not a share from 0 to 1"
		d.Refused(want, "define", d.File("vm.xml", d.XML(testkit.Guest{Name: "vm", Top: bad})))
		d.Refused(want, "net-define", d.File("net.xml", "<network><name>n</name>"+bad+"</network>"))
		d.Define(d.XML(testkit.Guest{Name: "good"}))
		d.Refused("delay='slow' is not a time", "metadata", "good", "urn:virtumld:links", "--key", "l",
			"--set", "<links><link delay='slow'/></links>")
	})
}
