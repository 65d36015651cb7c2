package guests

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"virtumld/internal/testkit"
)

// What stock virsh says and changes of the interfaces of a running guest, live
// and in the config.
func TestInterfaceCalls(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		const mac, other = "52:54:00:00:00:01", "52:54:00:00:00:02"
		mcast := func(mac string) string {
			return fmt.Sprintf(`<interface type='mcast'><mac address='%s'/><source address='230.0.0.1' port='%d'/></interface>`,
				mac, testkit.FreePort(t))
		}
		d.Boot(testkit.Guest{Name: "vm", Devices: mcast(mac)})
		shell := d.Shell("vm")
		name := regexp.MustCompile(`vnet\d+`).FindString(d.OK("domiflist", "vm"))
		if name == "" {
			t.Fatalf("the interface has no name on the host:\n%s", d.OK("domiflist", "vm"))
		}
		live, inactive := d.OK("dumpxml", "vm"), d.OK("dumpxml", "vm", "--inactive")
		for text, inBoth := range map[string]bool{
			"<target dev='" + name + "'/>": false, "<alias name='net0'/>": false, "<guest dev='vec0'/>": true,
		} {
			if !strings.Contains(live, text) || strings.Contains(inactive, text) != inBoth {
				t.Errorf("%s is not where it should be: live\n%s\ninactive\n%s", text, live, inactive)
			}
		}

		shell.Run("ip link set vec0 up && ip addr add 10.77.0.1/24 dev vec0")
		shell.Try("ping -c 1 -W 1 10.77.0.2") // ARP requests, which nobody answers
		stats := d.OK("domifstat", "vm", mac)
		if sent := regexp.MustCompile(`tx_packets (\d+)`).FindStringSubmatch(stats); sent == nil || sent[1] == "0" {
			t.Errorf("the guest has sent nothing:\n%s", stats)
		}
		d.Refused("'vnet999' is not a known interface", "domifstat", "vm", "vnet999")
		all := d.OK("domstats", "vm")
		for _, line := range []string{"state.state=1", "cpu.time=", "balloon.maximum=131072", "vcpu.current=1", "net.count=1", "net.0.name=" + name, "net.0.tx.pkts=", "block.count=1", "block.0.name=ubd0", "block.0.capacity="} {
			if !strings.Contains(all, line) {
				t.Errorf("%q is not in\n%s", line, all)
			}
		}
		d.Refused("not supported", "domstats", "vm", "--perf", "--enforce")

		link := func(flags ...string) string { return d.OK(append([]string{"domif-getlink", "vm", mac}, flags...)...) }
		d.OK("domif-setlink", "vm", mac, "down")
		if got := link() + " " + link("--config"); got != mac+" down "+mac+" default" && got != mac+" down "+mac+" up" {
			t.Errorf("links live and in the config: %q", got)
		}
		d.OK("domif-setlink", "vm", mac, "down", "--config")
		d.OK("domif-setlink", "vm", mac, "up")
		if got := link() + " " + link("--config"); got != mac+" up "+mac+" down" {
			t.Errorf("links live and in the config: %q", got)
		}

		d.OK("domiftune", "vm", name, "--inbound", "100,200,300")
		tuned := regexp.MustCompile(`\s+`).ReplaceAllString(d.OK("domiftune", "vm", name), "")
		if tuned != "inbound.average:100inbound.peak:200inbound.burst:300inbound.floor:0outbound.average:0outbound.peak:0outbound.burst:0" {
			t.Errorf("the limits are %s", tuned)
		}
		if strings.Contains(d.OK("dumpxml", "vm", "--inactive"), "<bandwidth>") {
			t.Error("a live limit is in the config")
		}

		events := d.Events()
		d.OK("attach-device", "vm", d.File("other.xml", mcast(other)), "--live", "--config")
		events.Await("vm", "net1")
		for _, flag := range []string{"", "--inactive"} {
			if got := d.OK(append([]string{"domiflist", "vm"}, strings.Fields(flag)...)...); !strings.Contains(got, other) {
				t.Errorf("domiflist %s after attach:\n%s", flag, got)
			}
		}
		d.OK("detach-interface", "vm", "mcast", "--mac", other, "--live", "--config")
		events.Await("vm", "net1")
		for _, flag := range []string{"", "--inactive"} {
			if got := d.OK(append([]string{"domiflist", "vm"}, strings.Fields(flag)...)...); strings.Contains(got, other) {
				t.Errorf("domiflist %s after detach:\n%s", flag, got)
			}
		}
		d.Refused("there is no agent", "domifaddr", "vm", "--source", "agent")
		d.OK("domifaddr", "vm", "--source", "arp")
		d.Refused("neither a file nor a block device", "attach-disk", "vm", "/dev/null", "ubd5")
	})
}
