package e2e

import (
	"slices"
	"strings"
	"testing"

	"virtumld/internal/testkit"
)

// Each filter of "virsh list" against one domain of each kind.
func TestListFilters(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		d.Boot(testkit.Guest{Name: "running"})
		d.Boot(testkit.Guest{Name: "paused"})
		d.OK("suspend", "paused")
		d.Define(d.XML(testkit.Guest{Name: "off", Top: "<title>the idle one</title>"}))
		d.Define(d.XML(testkit.Guest{Name: "auto"}))
		d.OK("autostart", "auto")
		transient := d.File("transient.xml", d.XML(testkit.Guest{Name: "transient", Disk: d.Rootfs("transient.img")}))
		d.OK("create", transient)
		d.DestroyLater("transient")

		for _, c := range []struct {
			flags string
			want  []string
		}{
			{"", []string{"paused", "running", "transient"}},
			{"--all", []string{"auto", "off", "paused", "running", "transient"}},
			{"--inactive", []string{"auto", "off"}},
			{"--state-running", []string{"running", "transient"}},
			{"--state-paused", []string{"paused"}},
			{"--all --state-shutoff", []string{"auto", "off"}},
			{"--all --persistent", []string{"auto", "off", "paused", "running"}},
			{"--all --transient", []string{"transient"}},
			{"--all --autostart", []string{"auto"}},
			{"--all --no-autostart", []string{"off", "paused", "running", "transient"}},
			{"--all --with-snapshot", nil},
			{"--all --with-managed-save", nil},
			{"--all --with-checkpoint", nil},
			{"--all --without-snapshot --autostart", []string{"auto"}},
		} {
			got := d.Lines(append([]string{"list", "--name"}, strings.Fields(c.flags)...)...)
			slices.Sort(got)
			if !slices.Equal(got, c.want) {
				t.Errorf("virsh list %s: %q, want %q", c.flags, got, c.want)
			}
		}
		if out := d.OK("list", "--all", "--title"); !strings.Contains(out, "the idle one") {
			t.Errorf("list --title does not show the title:\n%s", out)
		}
		if got, want := d.OK("list", "--all", "--uuid"), d.OK("domuuid", "off"); !strings.Contains(got, want) {
			t.Errorf("list --uuid does not show %s:\n%s", want, got)
		}
	})
}

// Instances that are empty say so in every list that clients ask for.
func TestEmptyLists(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		for _, command := range []string{"list --all --name", "net-list --all --name", "pool-list --all --name"} {
			if lines := d.Lines(strings.Fields(command)...); len(lines) != 0 {
				t.Errorf("virsh %s: %q, want nothing", command, lines)
			}
		}
		for command, want := range map[string]string{
			"dominfo nobody":        "failed to get domain 'nobody'",
			"domname 12345":         "failed to get domain '12345'",
			"net-info nothing":      "Network not found",
			"pool-info nothing":     "Storage pool not found",
			"nodedev-info nothing":  "not found",
			"iface-dumpxml nothing": "Interface not found",
		} {
			d.Refused(want, strings.Fields(command)...)
		}
	})
}

// What virsh tells of the connection and the host.
func TestHost(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		for command, want := range map[string]string{
			"uri":             "uml",
			"hostname":        "",
			"version":         "hypervisor: UML",
			"nodeinfo":        "CPU(s):",
			"nodecpumap":      "CPUs present:",
			"nodecpustats":    "user:",
			"nodememstats":    "total",
			"freecell":        "KiB",
			"maxvcpus":        "1",
			"capabilities":    "<domain type='uml'",
			"domcapabilities": "<domain>uml</domain>",
		} {
			if out := d.OK(strings.Fields(command)...); out == "" || !strings.Contains(out, want) {
				t.Errorf("virsh %s does not say %q:\n%s", command, want, out)
			}
		}
	})
}
