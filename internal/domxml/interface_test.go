package domxml

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/virerr"
)

// nic is a document with one interface.
func nic(kind, inner string) string {
	return domain("", "<interface type='"+kind+"'><mac address='52:54:00:00:00:01'/>"+inner+"</interface>")
}

func forward(inner string) string {
	return nic("user", "<portForward proto='tcp'>"+inner+"</portForward>")
}

func TestInterfaceRefuses(t *testing.T) {
	const network = "<source network='n'/>"
	udp := "<source address='1.2.3.4' port='5'>%s</source>"
	tests := []struct {
		name, doc string
		code      libvirt.ErrorNumber
		text      string // part of the message
	}{
		{"internal", nic("internal", "<source name='x'/>"), 67, "<interface>: type='internal'"},
		{"hostdev", nic("hostdev", ""), 67, "type='hostdev'"},
		{"vdpa", nic("vdpa", "<source dev='/dev/x'/>"), 67, "type='vdpa'"},
		{"vds", nic("vds", "<source switchid='x'/>"), 67, "type='vds'"},
		{"null", nic("null", ""), 67, "type='null'"},
		{"filterref", nic("network", network+"<filterref filter='clean-traffic'/>"), 67, "element <filterref>"},
		{"virtualport", nic("bridge", "<source bridge='b'/><virtualport type='openvswitch'/>"), 67, "element <virtualport>"},
		{"script", nic("ethernet", "<script path='/etc/x'/>"), 67, "element <script>"},
		{"downscript", nic("ethernet", "<downscript path='/etc/x'/>"), 67, "element <downscript>"},
		{"teaming", nic("network", network+"<teaming type='persistent'/>"), 67, "element <teaming>"},
		{"backenddomain", nic("bridge", "<source bridge='b'/><backenddomain name='x'/>"), 67, "<backenddomain>"},
		{"host address", nic("ethernet", "<source><ip address='10.0.0.1'/></source>"), 67, "<source/ip>"},
		{"host route", nic("ethernet", "<source><route address='10.0.0.0' gateway='10.0.0.1'/></source>"), 67, "<source/route>"},
		{"route", nic("user", "<route address='10.0.0.0' gateway='10.0.0.1'/>"), 67, "<route>"},

		{"no network", nic("network", ""), 27, "Missing required attribute 'network'"},
		{"no bridge", nic("bridge", ""), 27, "Missing required attribute 'bridge'"},
		{"long bridge", nic("bridge", "<source bridge='abcdefghijklmnop'/>"), 27, "no name of a network device"},
		{"no lower device", nic("direct", ""), 27, "Missing required attribute 'dev'"},
		{"direct mode", nic("direct", "<source dev='eth0' mode='zz'/>"), 27, "attribute 'mode'"},
		{"user device", nic("user", "<source dev='a/b'/>"), 27, "'a/b' is no name"},
		{"no group", nic("mcast", "<source port='5'/>"), 27, "Missing required attribute 'address'"},
		{"group", nic("mcast", "<source address='1.2.3.4' port='5'/>"), 27, "'1.2.3.4' is no multicast address"},
		{"no group port", nic("mcast", "<source address='230.0.0.1'/>"), 27, "attribute 'port' in element 'source'"},
		{"no local", nic("udp", fmt.Sprintf(udp, "")), 27, "'<local>' element missing"},
		{"local address", nic("udp", fmt.Sprintf(udp, "<local port='5'/>")), 27, "'address' in element 'local'"},
		{"local port", nic("udp", fmt.Sprintf(udp, "<local address='::1'/>")), 27, "'port' in element 'local'"},
		{"socket address", nic("client", "<source address='host' port='5'/>"), 27, "'host' is no IP address"},
		{"socket port", nic("server", "<source port='65536'/>"), 27, "port 65536 is too large"},
		{"vhostuser without path", nic("vhostuser", "<source type='unix' mode='client'/>"), 27, "attribute 'path'"},
		{"vhostuser without mode", nic("vhostuser", "<source type='unix' path='/x'/>"), 27, "attribute 'mode'"},
		{"vhostuser mode", nic("vhostuser", "<source type='unix' path='/x' mode='zz'/>"), 27, "attribute 'mode'"},
		{"vhostuser path", nic("vhostuser", "<source type='unix' path='x' mode='client'/>"), 27, "'x'"},
		{"vhostuser listening", vhostUser("server", ""), 67, "mode='server'"},
		{"vhostuser again", nic("vhostuser", "<source type='unix' path='/x' mode='client'><reconnect enabled='yes' timeout='5'/></source>"), 67, "<reconnect>"},
		{"vhostuser down", vhostUser("client", "<link state='down'/>"), 67, "<link state='down'>"},
		{"vhostuser mtu", vhostUser("client", "<mtu size='9000'/>"), 67, "<mtu>"},
		{"vhostuser limited", vhostUser("client", "<bandwidth><outbound average='5'/></bandwidth>"), 67, "<bandwidth>"},
		{"vhostuser vlan", vhostUser("client", "<vlan><tag id='1'/></vlan>"), 67, "<vlan>"},

		{"managed", nic("bridge", "<source bridge='b'/><target dev='x' managed='no'/>"), 67, "unmanaged target dev"},
		{"managed without name", nic("ethernet", "<target managed='no'/>"), 27, "needs the dev"},
		{"managed value", nic("ethernet", "<target dev='x' managed='zz'/>"), 27, "attribute 'managed'"},
		{"target", nic("ethernet", "<target dev='a b'/>"), 27, "element <target>: 'a b'"},
		{"model", nic("user", "<model type='a b'/>"), 8, "invalid characters"},
		{"guest device", nic("user", "<guest dev='eth0'/>"), 67, "vec0 to vec31"},
		{"guest device out of range", nic("user", "<guest dev='vec32'/>"), 67, "vec0 to vec31"},
		{"guest device odd", nic("user", "<guest dev='vec01'/>"), 67, "vec0 to vec31"},
		{"link", nic("user", "<link state='zz'/>"), 67, "unknown interface link state 'zz'"},
		{"small mtu", nic("user", "<mtu size='67'/>"), 27, "an mtu of 67"},
		{"large mtu", nic("user", "<mtu size='65535'/>"), 27, "an mtu of 65535"},
		{"no average", nic("user", "<bandwidth><inbound burst='5'/></bandwidth>"), 35, "Missing mandatory average"},
		{"peak of floor", nic("network", network+"<bandwidth><inbound floor='5' peak='5'/></bandwidth>"), 67, "require 'average'"},
		{"floor", nic("user", "<bandwidth><inbound floor='5'/></bandwidth>"), 67, "floor attribute is not supported"},
		{"outbound floor", nic("network", network+"<bandwidth><outbound floor='5'/></bandwidth>"), 67, "only in <inbound>"},
		{"negative average", nic("user", "<bandwidth><inbound average='-5'/></bandwidth>"), 67, "average value '-5'"},
		{"vlan without tag", nic("network", network+"<vlan/>"), 27, "missing tag id"},
		{"vlan tag", nic("network", network+"<vlan><tag id='4096'/></vlan>"), 27, "4096 too large"},
		{"vlan trunk", nic("network", network+"<vlan trunk='zz'><tag id='1'/></vlan>"), 27, "must be yes or no"},
		{"vlan no trunk", nic("network", network+"<vlan trunk='no'><tag id='1'/><tag id='2'/></vlan>"), 27, "more than one vlan tag"},
		{"two natives", nic("network", network+"<vlan><tag id='1' nativeMode='tagged'/><tag id='2' nativeMode='tagged'/></vlan>"), 27, "duplicate native"},
		{"vlan of user", nic("user", "<vlan><tag id='1'/></vlan>"), 67, "<vlan> is not available with type='user'"},
		{"isolated", nic("user", "<port isolated='yes'/>"), 67, "is not supported for network interfaces with type='user'"},
		{"isolated value", nic("network", network+"<port isolated='zz'/>"), 27, "attribute 'isolated'"},
		{"backend", nic("user", "<backend type='zz'/>"), 27, "attribute 'type' in element 'backend'"},
		{"passt elsewhere", nic("network", network+"<backend type='passt'/>"), 67, "only be used with interface type='user'"},
		{"log file", nic("user", "<backend type='passt' logFile='x'/>"), 27, "'x'"},

		{"address elsewhere", nic("network", network+"<ip address='10.0.0.1'/>"), 67, "guest-side IP"},
		{"address", nic("user", "<ip address='zz'/>"), 27, "Invalid address 'zz' in <ip>"},
		{"address of the other family", nic("user", "<ip address='::1:2' family='ipv4'/>"), 27, "Invalid address '::1:2'"},
		{"loopback", nic("user", "<ip address='127.0.0.5'/>"), 27, "Invalid address '127.0.0.5'"},
		{"two addresses", nic("user", "<ip address='10.0.0.1'/><ip address='10.0.0.2'/>"), 67, "Only one IPv4 address"},
		{"prefix", nic("user", "<ip address='10.0.0.1' prefix='28'/>"), 27, "range of 4-27"},
		{"prefix 6", nic("user", "<ip address='fd00::1' prefix='65'/>"), 67, "must be 64"},
		{"peer", nic("user", "<ip address='10.0.0.1' peer='10.0.0.2'/>"), 67, "peer IP"},

		{"forward elsewhere", nic("network", network+"<portForward proto='tcp'><range start='5'/></portForward>"), 67, "type='user' only"},
		{"forward protocol", nic("user", "<portForward proto='sctp'><range start='5'/></portForward>"), 27, "attribute 'proto'"},
		{"no forward protocol", nic("user", "<portForward><range start='5'/></portForward>"), 27, "Missing required attribute 'proto'"},
		{"forward address", nic("user", "<portForward proto='tcp' address='zz'><range start='5'/></portForward>"), 27, "Invalid address 'zz' in <portForward>"},
		{"forward device", nic("user", "<portForward proto='tcp' dev='a/b'><range start='5'/></portForward>"), 27, "'a/b' is no name"},
		{"forward of all", forward(""), 67, "name them with <range"},
		{"forward of none", forward("<range start='5' exclude='yes'/>"), 67, "name them with <range"},
		{"range without start", forward("<range end='5'/>"), 67, "requires 'start'"},
		{"range backwards", forward("<range start='5' end='4'/>"), 27, "before its start at 5"},
		{"range too far", forward("<range start='65536'/>"), 27, "are no ports"},
		{"range leads too far", forward("<range start='5' end='6' to='65535'/>"), 27, "the guest's port 65536"},
		{"range value", forward("<range start='5' exclude='zz'/>"), 27, "attribute 'exclude'"},
		{"too many ports", forward("<range start='1' end='16385'/>"), 67, "more than 16384"},
		{"too many ranges", forward(strings.Repeat("<range start='5' exclude='yes'/>", maxRanges) + "<range start='9'/>"), 67, "more than 256 ranges"},
		{"overlap beside a hole", forward("<range start='5' end='20'/><range start='8' end='9' exclude='yes'/><range start='7' end='8' exclude='yes'/><range start='6' end='30' to='100'/>"), 27, "tcp port 6 is"},
		{"overlap behind a hole", forward("<range start='5' end='20'/><range start='1' end='19' exclude='yes'/><range start='6' end='30' to='100'/>"), 27, "tcp port 20 is"},
		{"overlap", forward("<range start='5' end='9'/><range start='9'/>"), 27, "tcp port 9 is forwarded twice"},
		{"overlap of forwards", nic("user", "<portForward proto='udp' address='::'><range start='5'/></portForward><portForward proto='udp' address='1.1.1.1'><range start='5'/></portForward>"), 27, "udp port 5"},

		{"same mac", domain("", strings.Repeat("<interface type='user'><mac address='52:54:00:00:00:01'/></interface>", 2)), 27, "two interfaces have the mac address"},
		{"same unit", domain("", strings.Repeat("<interface type='user'><guest dev='vec3'/></interface>", 2)), 27, "are both the guest's vec3"},
		{"same target", domain("", strings.Repeat("<interface type='user'><target dev='web'/></interface>", 2)), 27, "the same target 'web'"},
		{"same alias", domain("", strings.Repeat("<interface type='user'><alias name='ua-x'/></interface>", 2)), 27, "the same alias 'ua-x'"},
		{"same port", domain("", strings.Repeat("<interface type='user'><portForward proto='tcp'><range start='5'/></portForward></interface>", 2)), 27, "tcp port 5"},
		{"too many", domain("", strings.Repeat("<interface type='user'/>", MaxInterfaces+1)), 67, "at most 32"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Parse([]byte(test.doc))
			var got *virerr.Error
			if !errors.As(err, &got) || got.Code != test.code || !strings.Contains(got.Error(), test.text) {
				t.Errorf("got %v, want code %d ...%s...", err, test.code, test.text)
			}
		})
	}
}

func vhostUser(mode, more string) string {
	return nic("vhostuser", "<source type='unix' path='/x' mode='"+mode+"'/>"+more)
}

// TestVHostUserDevices checks that virtio devices are numbered in their order,
// beside the others.
func TestVHostUserDevices(t *testing.T) {
	const one = "<interface type='vhostuser'><source type='unix' path='/1' mode='client'/></interface>"
	const two = "<interface type='vhostuser'><source type='unix' path='/2' mode='client'/><guest dev='eth7'/></interface>"
	def := mustParse(t, domain("", one+"<interface type='user'/>"+two))
	var got []string
	for _, n := range def.Interfaces {
		got = append(got, n.Device()+" "+n.Alias)
	}
	if want := []string{"eth0 net32", "vec0 net0", "eth1 net33"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	without, err := def.WithoutInterface("net32")
	if err != nil {
		t.Fatal(err)
	}
	if n := without.Interfaces[1]; n.Source != "/2" || n.Device() != "eth0" {
		t.Errorf("left is %+v", n)
	}
	if live := def.WithPorts(func(string) string { return "vnet0" }); live.Interfaces[0].Target != "" || live.Interfaces[1].Target != "vnet0" {
		t.Errorf("names %+v", live.Interfaces)
	}
}

// TestInterfaces checks what the golden document's interfaces mean.
func TestInterfaces(t *testing.T) {
	got := mustParse(t, inputs(t)["interfaces"]).Interfaces
	want := []Interface{
		{
			Type: InterfaceUser, Source: "eth0", Unit: 0, Alias: "net0", Model: "virtio", MTU: 65520,
			Addresses: []netip.Prefix{netip.MustParsePrefix("172.17.2.10/24"), netip.MustParsePrefix("2001:db8:ac10:fd01::20/64")},
			Forwards: []Forward{
				{Protocol: "tcp", Ranges: []ForwardRange{{Start: 2022, End: 2022, To: 22}}},
				{Protocol: "udp", Address: netip.MustParseAddr("1.2.3.4"), Device: "eth0", Ranges: []ForwardRange{
					{Start: 5000, End: 5020, To: 6000}, {Start: 5010, End: 5015, To: 5010, Exclude: true},
				}},
			},
			Backend: "passt", LogFile: "/var/log/passt.log",
		},
		{
			Type: InterfaceNetwork, Source: "default", Unit: 5, Alias: "ua-lan", Portgroup: "fast", Down: true, Isolated: true,
			VLANs: []VLAN{{ID: 42}, {ID: 123, Native: "untagged"}}, Trunk: true,
			Inbound: Bandwidth{Average: 1000, Peak: 5000, Floor: 200, Burst: 1024}, Outbound: Bandwidth{Average: 128, Peak: 256, Burst: 256},
		},
		{Type: InterfaceBridge, Source: "br0", Unit: 1, Alias: "net1", Target: "web0", VLANs: []VLAN{{ID: 7}}},
		{Type: InterfaceEthernet, Unit: 2, Alias: "net2", Target: "vnet99", Unmanaged: true},
		{Type: InterfaceDirect, Source: "eth0", Mode: "vepa", Unit: 3, Alias: "net3"},
		{Type: InterfaceMcast, Remote: SocketAddress{"230.0.0.1", 5558}, Unit: 4, Alias: "net4"},
		{Type: InterfaceUDP, Remote: SocketAddress{"127.0.0.1", 11115}, Local: SocketAddress{"127.0.0.1", 11116}, Unit: 6, Alias: "net6"},
		{Type: InterfaceServer, Remote: SocketAddress{"192.168.0.1", 5558}, Unit: 7, Alias: "net7"},
		{Type: InterfaceClient, Remote: SocketAddress{"192.168.0.1", 5559}, Unit: 8, Alias: "net8"},
		{Type: InterfaceVHostUser, Source: "/tmp/vhost1.sock", Mode: "client", Model: "virtio", Unit: FirstVirtio, Alias: "net32"},
	}
	for i := range want {
		want[i].MAC = fmt.Sprintf("52:54:00:00:00:%02x", i+1)
		if i >= len(got) || !reflect.DeepEqual(got[i], want[i]) {
			t.Errorf("interface %d: got\n%+v\nwant\n%+v", i, got[i], want[i])
		}
	}
}

// TestForwardsApart checks what is no clash.
func TestForwardsApart(t *testing.T) {
	for name, doc := range map[string]string{
		"protocols":                  nic("user", "<portForward proto='tcp'><range start='5'/></portForward><portForward proto='udp'><range start='5'/></portForward>"),
		"addresses":                  nic("user", "<portForward proto='tcp' address='1.1.1.1'><range start='5'/></portForward><portForward proto='tcp' address='1.1.1.2'><range start='5'/></portForward>"),
		"devices":                    nic("user", "<portForward proto='tcp' dev='a'><range start='5'/></portForward><portForward proto='tcp' dev='b'><range start='5'/></portForward>"),
		"excluded":                   nic("user", "<portForward proto='tcp'><range start='5' end='9'/><range start='7' exclude='yes'/></portForward><portForward proto='tcp'><range start='7'/></portForward>"),
		"one range to one port each": forward("<range start='5' end='9'/><range start='10' to='5'/>"),
	} {
		t.Run(name, func(t *testing.T) { checkRoundTrip(t, mustParse(t, doc)) })
	}
}

// TestParseLive checks that a live document gives back what a running guest
// has, and that edits keep it.
func TestParseLive(t *testing.T) {
	for name, doc := range inputs(t) {
		live := goldenPorts(mustParse(t, doc))
		text, err := live.LiveXML(goldenLive, true)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseLive([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(again.Interfaces, live.Interfaces) {
			t.Errorf("%s: got\n%+v\nwant\n%+v", name, again.Interfaces, live.Interfaces)
		}
		edited, err := again.WithMemory(again.MaxMemory)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(edited.Interfaces, live.Interfaces) {
			t.Errorf("%s: after an edit\n%+v\nwant\n%+v", name, edited.Interfaces, live.Interfaces)
		}
	}
}

func TestWithPorts(t *testing.T) {
	def := mustParse(t, inputs(t)["interfaces"])
	last := 0
	name := func(prefix string) string { last++; return fmt.Sprint(prefix, last) }
	live := def.WithPorts(name)
	if again := live.WithPorts(name); !reflect.DeepEqual(again, live) {
		t.Errorf("asked twice:\n%+v\n%+v", again, live)
	}
	if def.Interfaces[0].Target != "" || live.Interfaces[0].Target != "vnet1" || live.Interfaces[4].Target != "macvtap3" || live.Interfaces[2].Target != "web0" {
		t.Errorf("targets %+v", live.Interfaces)
	}
	if live.Interfaces[1].PortID == "" || live.Interfaces[0].PortID != "" {
		t.Errorf("ports %+v", live.Interfaces)
	}
}

func mustDevice(t *testing.T, text string) *Device {
	t.Helper()
	dev, err := ParseDevice([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return dev
}

func TestParseDevice(t *testing.T) {
	if dev := mustDevice(t, "<filesystem><zzz/></filesystem>"); dev.Kind != "filesystem" {
		t.Errorf("kind %q", dev.Kind)
	}
	if dev := mustDevice(t, "<interface type='user'/>"); dev.Kind != "interface" || !strings.HasPrefix(dev.MAC(), "52:54:00:") {
		t.Errorf("%+v", dev)
	}
	for doc, code := range map[string]int{
		"": 35, "text": 35, "<interface type='user'>": 35, "<interface type='user'/>x": 35, "<interface/>": 27,
		"<interface type='null'/>": 67, "<interface type='user'><mtu size='x'/></interface>": 27,
	} {
		_, err := ParseDevice([]byte(doc))
		wantCode(t, err, code)
	}
}

// TestDevices checks how interfaces come, go and change.
func TestDevices(t *testing.T) {
	def := mustParse(t, inputs(t)["interfaces"])
	dev := mustDevice(t, "<interface type='network'><source network='n'/><link state='down'/></interface>")
	with, err := def.WithDevice(dev)
	if err != nil {
		t.Fatal(err)
	}
	n, err := with.Interface(strings.ToUpper(dev.MAC()))
	if err != nil || n.Unit != 9 || n.Alias != "net9" || !n.Down {
		t.Errorf("added %+v, %v", n, err)
	}
	_, err = with.WithDevice(dev)
	wantCode(t, err, 27) // its MAC address is taken

	without, err := with.WithoutInterface("net3")
	if err != nil {
		t.Fatal(err)
	}
	if left, err := without.ByAlias("net4"); err != nil || left.Unit != 4 {
		t.Errorf("the others move: %+v, %v", left, err)
	}
	again, err := without.WithDevice(mustDevice(t, "<interface type='user'/>"))
	if err != nil {
		t.Fatal(err)
	}
	if last := again.Interfaces[len(again.Interfaces)-1]; last.Unit != 3 {
		t.Errorf("a free unit is not used: %+v", last)
	}
	_, err = def.WithoutInterface("net77")
	wantCode(t, err, 99)

	up := mustDevice(t, "<interface type='network'><mac address='52:54:00:00:00:02'/><source network='other'/><link state='up'/></interface>")
	updated, err := def.WithUpdate(up)
	if err != nil {
		t.Fatal(err)
	}
	if n := updated.Interfaces[1]; n.Source != "other" || n.Down || n.Alias != "ua-lan" || n.Unit != 5 {
		t.Errorf("updated %+v", n)
	}
}

func TestMatch(t *testing.T) {
	def := mustParse(t, inputs(t)["interfaces"])
	for inner, want := range map[string]string{
		"<mac address='52:54:00:00:00:03'/>":                           "net1",
		"<mac address='52:54:00:00:00:03'/><guest dev='vec1'/>":        "net1",
		"<guest dev='vec5'/>":                                          "ua-lan",
		"<alias name='net6'/>":                                         "net6",
		"<mac address='52:54:00:00:00:02'/><alias name='ua-lan'/>":     "ua-lan",
		"<mac address='52:54:00:00:00:03'/><target dev='vnet5'/>":      "net1",
		"<mac address='52:54:00:00:00:03'/><model type='virtio-net'/>": "net1",
	} {
		n, err := def.Match(mustDevice(t, "<interface type='user'>"+inner+"</interface>"))
		if err != nil || n.Alias != want {
			t.Errorf("%s is %q, %v; want %q", inner, n.Alias, err, want)
		}
	}
	for inner, code := range map[string]int{
		"": 9, "<mac address='52:54:00:00:00:99'/>": 99, "<guest dev='vec1'/><alias name='net2'/>": 99,
	} {
		_, err := def.Match(mustDevice(t, "<interface type='user'>"+inner+"</interface>"))
		wantCode(t, err, code)
	}
}

func TestWithBandwidth(t *testing.T) {
	def := mustParse(t, inputs(t)["interfaces"])
	in := Bandwidth{Average: 7, Burst: 8}
	next, err := def.WithBandwidth("ua-lan", &in, nil)
	if err != nil {
		t.Fatal(err)
	}
	if n := next.Interfaces[1]; n.Inbound != in || n.Outbound != def.Interfaces[1].Outbound {
		t.Errorf("got %+v", n)
	}
	none, err := next.WithBandwidth("ua-lan", &Bandwidth{}, &Bandwidth{})
	if err != nil {
		t.Fatal(err)
	}
	if n := none.Interfaces[1]; n.Inbound != (Bandwidth{}) || n.Outbound != (Bandwidth{}) || strings.Contains(none.XML(true), "<bandwidth>") {
		t.Errorf("got %+v", n)
	}
	_, err = def.WithBandwidth("net0", &Bandwidth{Floor: 5}, nil)
	wantCode(t, err, 67)
}

func FuzzParseDevice(f *testing.F) {
	f.Add("<interface type='user'><portForward proto='tcp'><range start='5'/></portForward></interface>")
	f.Add("<interface type='network'><mac address='52:54:00:00:00:02'/><source network='n'/><vlan><tag id='5'/></vlan></interface>")
	f.Add("<disk/>")
	def := mustParse(f, inputs(f)["interfaces"])
	f.Fuzz(func(t *testing.T, doc string) {
		dev, err := ParseDevice([]byte(doc))
		var known *virerr.Error
		if err != nil {
			if !errors.As(err, &known) {
				t.Errorf("error without a code: %v", err)
			}
			return
		}
		if dev.Kind != "interface" {
			return
		}
		next, err := def.WithDevice(dev)
		if err != nil {
			if !errors.As(err, &known) {
				t.Errorf("error without a code: %v", err)
			}
			return
		}
		checkRoundTrip(t, next)
	})
}
