package networks

import (
	"slices"
	"strings"
	"testing"

	"virtumld/internal/testkit"
)

// Every list and filter, by stock virsh.
func TestLists(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		document := func(name string) string {
			return write(t, d, name+".xml", "<network><name>"+name+"</name><forward mode='none'/></network>")
		}
		d.OK("net-create", document("transient"))
		d.OK("net-define", document("off"))
		d.OK("net-define", document("on"))
		d.OK("net-autostart", "on")
		d.OK("net-start", "on")
		for filters, want := range map[string]string{
			"": "on transient", "--all": "off on transient", "--inactive": "off",
			"--all --persistent": "off on", "--all --transient": "transient",
			"--all --autostart": "on", "--all --no-autostart": "off transient",
			"--inactive --transient": "", "--persistent": "on",
		} {
			got := d.Lines(append([]string{"net-list", "--name"}, strings.Fields(filters)...)...)
			if !slices.Equal(got, strings.Fields(want)) {
				t.Errorf("net-list %s: %q, want %q", filters, got, want)
			}
		}
		uuid := d.OK("net-uuid", "off")
		if name := d.OK("net-name", uuid); name != "off" {
			t.Errorf("uuid %s is network %q", uuid, name)
		}
		d.Refused("no network with matching name 'none'", "net-info", "none")
		d.Refused("failed to get network", "net-info", "00000000-0000-0000-0000-000000000000")
		d.OK("net-autostart", "on", "--disable")
		if got := d.Lines("net-list", "--all", "--autostart", "--name"); len(got) != 0 {
			t.Errorf("autostarted networks: %q", got)
		}
		d.OK("net-destroy", "transient")
		d.OK("net-destroy", "on")
	})
}

// Updates of both sides, and what an update cannot be.
func TestUpdates(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		d.OK("net-define", write(t, d, "lab.xml", `<network><name>lab</name>
  <ip address='10.99.0.1' netmask='255.255.255.0'><dhcp><range start='10.99.0.10' end='10.99.0.20'/></dhcp></ip></network>`))
		const host = "<host mac='52:54:00:00:00:05' ip='10.99.0.5'/>"
		has := func(flags ...string) bool {
			return strings.Contains(d.OK(append([]string{"net-dumpxml", "lab"}, flags...)...), host)
		}
		d.Refused("network is not running", "net-update", "lab", "add", "ip-dhcp-host", host, "--live")
		d.OK("net-start", "lab")
		d.OK("net-update", "lab", "add-first", "ip-dhcp-host", host)
		if !has() || has("--inactive") {
			t.Error("an update without a side is not of the live one only")
		}
		d.OK("net-update", "lab", "add", "ip-dhcp-host", host, "--config")
		if !has("--inactive") {
			t.Error("an update of the config is lost")
		}
		d.OK("net-update", "lab", "delete", "ip-dhcp-host", host, "--live", "--config")
		if has() || has("--inactive") {
			t.Error("a host was not deleted on both sides")
		}
		if r := d.Virsh("net-update", "lab", "add", "ip-dhcp-host", "<host mac='52:54:00:00:00:05' ip='10.98.0.5'/>"); r.Code == 0 {
			t.Error("an address outside of the subnet was taken")
		}
		if got := d.OK("net-dhcp-leases", "lab"); strings.Count(got, "\n") > 2 {
			t.Errorf("leases without a guest:\n%s", got)
		}
		d.Refused("invalid MAC address", "net-dhcp-leases", "lab", "--mac", "zz")
		d.OK("net-destroy", "lab")
		d.Refused("network 'lab' is not active", "net-port-list", "lab")
	})
}

// What clients hear of networks.
func TestEvents(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		events := d.NetworkEvents()
		d.OK("net-define", write(t, d, "quiet.xml", quiet))
		d.OK("net-start", "quiet")
		d.OK("net-destroy", "quiet")
		d.OK("net-undefine", "quiet")
		for _, what := range []string{"Defined", "Started", "Stopped", "Undefined"} {
			events.AwaitPool("network quiet: " + what)
		}
	})
}

// A client that may only look.
func TestReadOnly(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		document := write(t, d, "quiet.xml", quiet)
		d.OK("net-define", document)
		look := func(args ...string) testkit.Result { return d.Virsh(append([]string{"--readonly"}, args...)...) }
		for _, args := range [][]string{
			{"net-list", "--all"}, {"net-info", "quiet"}, {"net-dumpxml", "quiet"}, {"net-uuid", "quiet"},
		} {
			if r := look(args...); r.Code != 0 {
				t.Errorf("virsh --readonly %q: %s", args, r.Stderr)
			}
		}
		for _, args := range [][]string{
			{"net-start", "quiet"}, {"net-undefine", "quiet"}, {"net-autostart", "quiet"}, {"net-create", document},
			{"net-update", "quiet", "add", "portgroup", "<portgroup name='x'/>"},
		} {
			if r := look(args...); r.Code == 0 || !strings.Contains(r.Stderr, "read only access") {
				t.Errorf("virsh --readonly %q: code %d, %s", args, r.Code, r.Stderr)
			}
		}
	})
}
