package uml

import (
	"context"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/domxml"
	"virtumld/internal/netd"
	"virtumld/internal/netswitch"
	"virtumld/internal/network"
	"virtumld/internal/paths"
	"virtumld/internal/supervisor"
	"virtumld/internal/usernet"
	"virtumld/internal/virerr"
)

const testMAC = "52:54:00:00:00:01"

// fakeNetworks have one network, which is active.
type fakeNetworks struct{ joint network.Joint }

func (f fakeNetworks) Join(_ context.Context, name, _ string) (network.Joint, error) {
	if name != "default" {
		return network.Joint{}, virerr.In(virerr.Network, libvirt.ErrOperationInvalid, "network '%s' is not active", name)
	}
	return f.joint, nil
}

func plug(t *testing.T, m *Machine, n domxml.Interface) (supervisor.Interface, error) {
	t.Helper()
	n.MAC = testMAC
	joint, err := m.join(t.Context(), &n)
	if err != nil {
		return supervisor.Interface{}, err
	}
	return m.plugging(t.Context(), owner{"demo", "u-u-i-d"}, n, joint, "device")
}

func testMachine(joint network.Joint) *Machine {
	return New(Config{
		Paths:    paths.Paths{StateDir: "/run/x"},
		Networks: fakeNetworks{joint},
		User:     &supervisor.User{UID: 64, GID: 65},
	})
}

// Every type of interface leads to the network that it names.
func TestPlugging(t *testing.T) {
	t.Parallel()
	m := testMachine(network.Joint{Dir: "/run/net/default"})
	user := &netd.User{UID: 64, GID: 65}
	for name, tt := range map[string]struct {
		n       domxml.Interface
		network string
		want    netd.Spec // but for Name, Dir and Parent; nil Gateway apart
	}{
		"network": {n: domxml.Interface{Type: domxml.InterfaceNetwork, Source: "default"}, network: "/run/net/default"},
		"bridge": {n: domxml.Interface{Type: domxml.InterfaceBridge, Source: "br0", Target: "vnet3", MTU: 9000},
			want: netd.Spec{User: user, Tap: &netd.Tap{Name: "vnet3", Bridge: "br0", MAC: testMAC, MTU: 9000}}},
		"ethernet": {n: domxml.Interface{Type: domxml.InterfaceEthernet, Target: "tap0", Unmanaged: true},
			want: netd.Spec{User: user, Tap: &netd.Tap{Name: "tap0", MAC: testMAC, Keep: true}}},
		"direct": {n: domxml.Interface{Type: domxml.InterfaceDirect, Target: "macvtap0", Source: "eth0", Mode: "passthrough"},
			want: netd.Spec{User: user, Tap: &netd.Tap{Name: "macvtap0", Direct: "eth0", Mode: "passthru", MAC: testMAC}}},
		"mcast": {n: domxml.Interface{Type: domxml.InterfaceMcast, Remote: domxml.SocketAddress{Address: "230.0.0.1", Port: 5558}},
			want: netd.Spec{User: user, Socket: &netd.Socket{Kind: netd.SocketMcast, Address: netip.MustParseAddrPort("230.0.0.1:5558")}}},
		"udp": {n: domxml.Interface{Type: domxml.InterfaceUDP, Remote: domxml.SocketAddress{Address: "127.0.0.1", Port: 1}, Local: domxml.SocketAddress{Address: "127.0.0.1", Port: 2}},
			want: netd.Spec{User: user, Socket: &netd.Socket{Kind: netd.SocketUDP, Address: netip.MustParseAddrPort("127.0.0.1:1"), Local: netip.MustParseAddrPort("127.0.0.1:2")}}},
		"server": {n: domxml.Interface{Type: domxml.InterfaceServer, Remote: domxml.SocketAddress{Port: 5558}},
			want: netd.Spec{User: user, Socket: &netd.Socket{Kind: netd.SocketServer, Address: netip.MustParseAddrPort("0.0.0.0:5558")}}},
		"client by name": {n: domxml.Interface{Type: domxml.InterfaceClient, Remote: domxml.SocketAddress{Address: "localhost", Port: 5558}},
			want: netd.Spec{User: user, Socket: &netd.Socket{Kind: netd.SocketClient, Address: netip.MustParseAddrPort("127.0.0.1:5558")}}},
	} {
		tt.n.Unit = 2
		i, err := plug(t, m, tt.n)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if i.Unit != 2 || i.Device != "device" || i.Network != tt.network || i.Port.MAC != testMAC || i.Port.Owner != "demo" {
			t.Errorf("%s: %+v", name, i)
		}
		if tt.network != "" {
			if i.Own != nil {
				t.Errorf("%s: has a network of its own, %+v", name, i.Own)
			}
			continue
		}
		tt.want.Name, tt.want.Parent, tt.want.Dir = "demo vec2", true, "/run/x/guests/u-u-i-d/net-vec2"
		if !reflect.DeepEqual(*i.Own, tt.want) {
			t.Errorf("%s: %+v, want %+v", name, *i.Own, tt.want)
		}
	}
}

func TestPluggingRefuses(t *testing.T) {
	t.Parallel()
	m := testMachine(network.Joint{})
	for name, tt := range map[string]struct {
		n    domxml.Interface
		text string
	}{
		"a network that is not active": {domxml.Interface{Type: domxml.InterfaceNetwork, Source: "other"}, "network 'other' is not active"},
		"a tagged native VLAN": {domxml.Interface{Type: domxml.InterfaceUser, Trunk: true, VLANs: []domxml.VLAN{{ID: 3, Native: "tagged"}}},
			"nativeMode='tagged'"},
		"no such host":          {domxml.Interface{Type: domxml.InterfaceClient, Remote: domxml.SocketAddress{Address: "no.such.host.invalid", Port: 1}}, "no.such.host.invalid"},
		"a way out by a device": {domxml.Interface{Type: domxml.InterfaceUser, Source: "eth0"}, "<source dev='eth0'/>"},
		"no room for a gateway": {domxml.Interface{Type: domxml.InterfaceUser, Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/30")}},
			"no room for a gateway"},
		"every port": {domxml.Interface{Type: domxml.InterfaceUser, Forwards: []domxml.Forward{{Protocol: "tcp"}}}, "<portForward proto='tcp'>"},
		"too many ports": {domxml.Interface{Type: domxml.InterfaceUser, Forwards: []domxml.Forward{
			{Protocol: "tcp", Ranges: []domxml.ForwardRange{{Start: 1, End: 65535, To: 1}}}}}, "more than 1000 ports"},
		"a guest's port above all": {domxml.Interface{Type: domxml.InterfaceUser, Forwards: []domxml.Forward{
			{Protocol: "tcp", Ranges: []domxml.ForwardRange{{Start: 1, End: 2, To: 65535}}}}}, "above 65535"},
	} {
		_, err := plug(t, m, tt.n)
		if err == nil || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: %v, want %q", name, err, tt.text)
		}
	}
}

// What an interface says itself goes before what its network does.
func TestPort(t *testing.T) {
	t.Parallel()
	m := testMachine(network.Joint{
		Dir: "/run/net/default", MTU: 1400, VLAN: 7, Isolated: true,
		In: netswitch.Shape{Average: 1}, Out: netswitch.Shape{Average: 2},
	})
	n := domxml.Interface{Type: domxml.InterfaceNetwork, Source: "default", Target: "vnet5", PortID: "p-o-r-t"}
	i, err := plug(t, m, n)
	if err != nil {
		t.Fatal(err)
	}
	want := netswitch.PortConfig{
		Name: "vnet5", Isolated: true, VLAN: 7, In: netswitch.Shape{Average: 1}, Out: netswitch.Shape{Average: 2},
	}
	if i.Port.ID != "p-o-r-t" || !reflect.DeepEqual(i.Port.PortConfig, want) {
		t.Errorf("%+v, want %+v", i.Port, want)
	}
	n.Down = true
	n.Inbound, n.Outbound = domxml.Bandwidth{Average: 10, Peak: 20, Burst: 30}, domxml.Bandwidth{Average: 40}
	n.Trunk, n.VLANs = true, []domxml.VLAN{{ID: 8}, {ID: 9, Native: "untagged"}}
	if i, err = plug(t, m, n); err != nil {
		t.Fatal(err)
	}
	want = netswitch.PortConfig{
		Name: "vnet5", Isolated: true, VLAN: 9, Trunk: true, Tags: []uint16{8}, Down: true,
		In: netswitch.Shape{Average: 40 << 10}, Out: netswitch.Shape{Average: 10 << 10, Peak: 20 << 10, Burst: 30 << 10},
	}
	if !reflect.DeepEqual(i.Port.PortConfig, want) {
		t.Errorf("%+v, want %+v", i.Port.PortConfig, want)
	}
	joined := n
	if _, err := m.join(t.Context(), &joined); err != nil || joined.MTU != 1400 {
		t.Errorf("MTU %d, %v", joined.MTU, err)
	}
}

// The two ends of a user network have the same MTU, the document's or a large
// one.
func TestUserMTU(t *testing.T) {
	t.Parallel()
	m := testMachine(network.Joint{})
	for given, want := range map[int]int{0: userMTU, 1500: 1500} {
		n := domxml.Interface{Type: domxml.InterfaceUser, MAC: testMAC, MTU: given}
		if _, err := m.join(t.Context(), &n); err != nil || n.MTU != want {
			t.Errorf("an MTU of %d becomes %d, %v", given, n.MTU, err)
		}
		spec, err := private(t.Context(), n, network.Joint{})
		if err != nil {
			t.Fatal(err)
		}
		if spec.Gateway.MTU != want {
			t.Errorf("the gateway's MTU is %d, want %d", spec.Gateway.MTU, want)
		}
	}
}

// A user network has QEMU's addresses, or those of the document.
func TestUserGateway(t *testing.T) {
	t.Parallel()
	c, err := userGateway(domxml.Interface{MAC: testMAC})
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Subnets[0].Gateway.String(); got != "10.0.2.2/24" || !c.NAT || c.DNS == nil || c.MTU != userMTU {
		t.Errorf("%+v", c)
	}
	if got := c.Subnets[0].DHCP.Hosts[0]; got != (usernet.Host{MAC: testMAC, Address: netip.MustParseAddr("10.0.2.15")}) {
		t.Errorf("%+v", got)
	}
	if c.MAC != "52:55:0a:00:02:02" {
		t.Errorf("the gateway's MAC address is %s", c.MAC)
	}
	c, err = userGateway(domxml.Interface{
		MTU: 9000,
		Addresses: []netip.Prefix{
			netip.MustParsePrefix("172.17.2.2/24"), netip.MustParsePrefix("2001:db8:ac10:fd01::feed/64"),
		},
		Forwards: []domxml.Forward{
			{Protocol: "tcp", Address: netip.MustParseAddr("127.0.0.1"), Device: "lo", Ranges: []domxml.ForwardRange{
				{Start: 2001, End: 2003, To: 22}, {Start: 2002, End: 2002, Exclude: true},
			}},
			{Protocol: "udp", Ranges: []domxml.ForwardRange{{Start: 53, End: 53, To: 53}}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if c.MTU != 9000 || c.Subnets[0].Gateway.String() != "172.17.2.3/24" || c.Subnets[1].Gateway.String() != "2001:db8:ac10:fd01::2/64" {
		t.Errorf("%+v", c)
	}
	target := func(port uint16) netip.AddrPort { return netip.AddrPortFrom(netip.IPv4Unspecified(), port) }
	want := []usernet.Forward{
		{Protocol: "tcp", Device: "lo", Listen: netip.MustParseAddrPort("127.0.0.1:2001"), Target: target(22)},
		{Protocol: "tcp", Device: "lo", Listen: netip.MustParseAddrPort("127.0.0.1:2003"), Target: target(24)},
		{Protocol: "udp", Listen: netip.MustParseAddrPort("0.0.0.0:53"), Target: target(53)},
	}
	if !reflect.DeepEqual(c.Forwards, want) {
		t.Errorf("%+v, want %+v", c.Forwards, want)
	}
}

// VLANs and isolation behind a bridge are the bridge's affair, and behind a tap
// frames have their tags.
func TestDevicePort(t *testing.T) {
	t.Parallel()
	m := testMachine(network.Joint{})
	tagged := domxml.Interface{Type: domxml.InterfaceBridge, Source: "no-such-br", VLANs: []domxml.VLAN{{ID: 7}}, Isolated: true, Down: true}
	i, err := plug(t, m, tagged)
	if err != nil {
		t.Fatal(err)
	}
	want := &netd.Tap{Bridge: "no-such-br", MAC: testMAC, VLAN: 7, Isolated: true, Down: true}
	if !reflect.DeepEqual(i.Own.Tap, want) || i.Own.Trunk || i.Port.VLAN != 0 {
		t.Errorf("%+v, %+v; want %+v", i.Own.Tap, i.Port, want)
	}
	trunk := tagged
	trunk.Trunk, trunk.VLANs = true, []domxml.VLAN{{ID: 7, Native: "untagged"}, {ID: 8}, {ID: 9}}
	if i, err = plug(t, m, trunk); err != nil {
		t.Fatal(err)
	}
	if want.Tags = []uint16{8, 9}; !reflect.DeepEqual(i.Own.Tap, want) || i.Port.Trunk || i.Port.Tags != nil {
		t.Errorf("%+v, %+v; want %+v", i.Own.Tap, i.Port, want)
	}
	tagged.Type, tagged.Source = domxml.InterfaceEthernet, ""
	if i, err = plug(t, m, tagged); err != nil {
		t.Fatal(err)
	}
	if !i.Own.Trunk || i.Own.Tap.VLAN != 0 || i.Port.VLAN != 7 {
		t.Errorf("%+v, %+v", i.Own, i.Port)
	}
}
