package network_test

import (
	"net/netip"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"virtumld/internal/netd"
	"virtumld/internal/netswitch"
	"virtumld/internal/usernet"
	"virtumld/internal/usernet/dhcp"
)

// started starts a network with that content and returns what its process is
// told, without the folders.
func started(t *testing.T, content string) *netd.Spec {
	t.Helper()
	i := open(t)
	view := i.define("n", "<mac address='52:54:00:00:00:99'/>"+content)
	must(t, i.Start(t.Context(), view.Spec))
	p := *i.host.one(t)
	equal(t, "folder", p.Dir, filepath.Join(i.dir, "state", view.UUID.String()))
	equal(t, "leases", p.Gateway.LeaseFile, filepath.Join(i.dir, "leases", view.UUID.String(), "leases.json"))
	g := *p.Gateway
	p.Dir, g.LeaseFile, p.Gateway = "", "", &g
	return &p
}

func same(t *testing.T, got, want *netd.Spec) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the process is told\n%+v\n%+v\nwant\n%+v\n%+v", got, got.Gateway, want, want.Gateway)
	}
}

func addr(text string) netip.Addr { return netip.MustParseAddr(text) }

func TestGatewayOfNAT(t *testing.T) {
	got := started(t, `<forward mode='nat'/><mtu size='9000'/><domain name='lab.test' localOnly='yes'/>
		<bandwidth><inbound average='10' peak='20' burst='30'/><outbound average='40'/></bandwidth>
		<dns forwardPlainNames='no'>
			<forwarder addr='9.9.9.9'/><forwarder domain='in.test' addr='fd00::53'/>
			<txt name='t' value='v'/><srv service='s' protocol='tcp' domain='d' target='w' port='1' priority='2' weight='3'/>
			<host ip='10.0.0.50'><hostname>a</hostname><hostname>b</hostname></host></dns>
		<ip address='10.0.0.1' netmask='255.255.255.0'><dhcp>
			<range start='10.0.0.2' end='10.0.0.9'><lease expiry='3' unit='hours'/></range>
			<host mac='52:54:00:00:00:01' name='one' ip='10.0.0.20'><lease expiry='0'/></host>
			<bootp file='boot' server='10.0.0.3'/></dhcp></ip>
		<ip family='ipv6' address='fd00::1' prefix='64'/>`)
	same(t, got, &netd.Spec{
		Name:     "n",
		Inbound:  netswitch.Shape{Average: 10 << 10, Peak: 20 << 10, Burst: 30 << 10},
		Outbound: netswitch.Shape{Average: 40 << 10},
		Gateway: &usernet.Config{
			Name: "n", MAC: "52:54:00:00:00:99", MTU: 9000, NAT: true, Domain: "lab.test",
			Subnets: []usernet.Subnet{
				{Gateway: netip.MustParsePrefix("10.0.0.1/24"), DHCP: &usernet.DHCP{
					Ranges:   []usernet.Range{{First: addr("10.0.0.2"), Last: addr("10.0.0.9"), LeaseTime: 3 * time.Hour}},
					Hosts:    []usernet.Host{{MAC: "52:54:00:00:00:01", Name: "one", Address: addr("10.0.0.20"), LeaseTime: dhcp.Infinite}},
					BootFile: "boot", BootServer: "10.0.0.3",
				}},
				{Gateway: netip.MustParsePrefix("fd00::1/64")},
			},
			DNS: &usernet.DNS{
				Hosts: []usernet.DNSHost{{Address: addr("10.0.0.50"), Names: []string{"a", "b"}}},
				TXT:   []usernet.DNSText{{Name: "t", Value: "v"}},
				SRV:   []usernet.DNSService{{Service: "s", Protocol: "tcp", Domain: "d", Target: "w", Port: 1, Priority: 2, Weight: 3}},
				Forwarders: []usernet.DNSForwarder{
					{Address: netip.MustParseAddrPort("9.9.9.9:53")},
					{Domain: "in.test", Address: netip.MustParseAddrPort("[fd00::53]:53")},
				},
				DomainOnly: true, NoPlainNames: true,
			},
		},
	})
}

func TestGatewayOfIsolated(t *testing.T) {
	got := started(t, "<ip address='10.0.0.1' prefix='24'><dhcp><range start='10.0.0.2' end='10.0.0.9'/></dhcp></ip>")
	same(t, got, &netd.Spec{Name: "n", Gateway: &usernet.Config{
		Name: "n", MAC: "52:54:00:00:00:99", MTU: 1500,
		Subnets: []usernet.Subnet{{Gateway: netip.MustParsePrefix("10.0.0.1/24"), DHCP: &usernet.DHCP{
			NoRouter: true, Ranges: []usernet.Range{{First: addr("10.0.0.2"), Last: addr("10.0.0.9")}},
		}}},
		DNS: &usernet.DNS{LocalOnly: true},
	}})
}

func TestGatewayWithoutNames(t *testing.T) {
	got := started(t, "<forward mode='open'/><dns enable='no'/><ip address='10.0.0.1' prefix='24'/>")
	if got.Gateway.DNS != nil || !got.Gateway.NAT || got.Gateway.Subnets[0].DHCP != nil {
		t.Errorf("gateway %+v", got.Gateway)
	}
}
