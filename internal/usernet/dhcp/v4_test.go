package dhcp

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

var (
	start    = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	gateway4 = netip.MustParseAddr("192.168.122.1")
	macA     = net.HardwareAddr{0x52, 0x54, 0, 0, 0, 0xa}
	macB     = net.HardwareAddr{0x52, 0x54, 0, 0, 0, 0xb}
	macC     = net.HardwareAddr{0x52, 0x54, 0, 0, 0, 0xc}
)

func addr(text string) netip.Addr { return netip.MustParseAddr(text) }

// config4 is a network with that DHCP settings on 192.168.122.1/24.
func config4(t *testing.T, settings Settings) Config {
	t.Helper()
	return Config{
		Name: "default", MAC: net.HardwareAddr{0x52, 0x54, 0, 0, 0, 1}, MTU: 1400, Domain: "vm.test", DNS: true,
		Subnets: []Subnet{{Gateway: netip.PrefixFrom(gateway4, 24), DHCP: &settings}},
		Log:     slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
}

func ranges(first, last string) []Range {
	return []Range{{First: addr(first), Last: addr(last)}}
}

func open(t *testing.T, cfg Config) *Server {
	t.Helper()
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func packet4(t *testing.T, kind dhcpv4.MessageType, mac net.HardwareAddr, modifiers ...dhcpv4.Modifier) []byte {
	t.Helper()
	m, err := dhcpv4.New(dhcpv4.PrependModifiers(modifiers, dhcpv4.WithHwAddr(mac), dhcpv4.WithMessageType(kind))...)
	if err != nil {
		t.Fatal(err)
	}
	return m.ToBytes()
}

// ask sends a packet and returns the parsed answer, nil for silence.
func ask(t *testing.T, s *Server, now time.Time, packet []byte) (*dhcpv4.DHCPv4, *Reply) {
	t.Helper()
	r := s.Handle4(packet, "", now)
	if r == nil {
		return nil, nil
	}
	m, err := dhcpv4.FromBytes(r.Packet)
	if err != nil {
		t.Fatal(err)
	}
	return m, r
}

func wants(a string) dhcpv4.Modifier {
	return dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(net.ParseIP(a)))
}

func named(name string) dhcpv4.Modifier { return dhcpv4.WithOption(dhcpv4.OptHostName(name)) }

func withID(id ...byte) dhcpv4.Modifier {
	return dhcpv4.WithOption(dhcpv4.OptClientIdentifier(id))
}

func toServer(a netip.Addr) dhcpv4.Modifier {
	return dhcpv4.WithOption(dhcpv4.OptServerIdentifier(a.AsSlice()))
}

// lease4 does DISCOVER and REQUEST and returns the address, invalid when the
// server is silent.
func lease4(t *testing.T, s *Server, now time.Time, mac net.HardwareAddr, modifiers ...dhcpv4.Modifier) netip.Addr {
	t.Helper()
	offer, _ := ask(t, s, now, packet4(t, dhcpv4.MessageTypeDiscover, mac, modifiers...))
	if offer == nil {
		return netip.Addr{}
	}
	if offer.MessageType() != dhcpv4.MessageTypeOffer {
		t.Fatalf("the answer to DISCOVER is %s", offer.Summary())
	}
	request := dhcpv4.PrependModifiers(modifiers,
		toServer(address4(offer.ServerIdentifier())), wants(offer.YourIPAddr.String()))
	ack, _ := ask(t, s, now, packet4(t, dhcpv4.MessageTypeRequest, mac, request...))
	if ack == nil || ack.MessageType() != dhcpv4.MessageTypeAck || !ack.YourIPAddr.Equal(offer.YourIPAddr) {
		t.Fatalf("the answer to REQUEST of %s is %v", offer.YourIPAddr, ack)
	}
	return address4(ack.YourIPAddr)
}

func TestLeaseTellsTheSettings(t *testing.T) {
	s := open(t, config4(t, Settings{
		Ranges: ranges("192.168.122.10", "192.168.122.20"), LeaseTime: 2 * time.Hour,
		BootFile: "pxelinux.0", BootServer: "192.168.122.9",
	}))
	discover := packet4(t, dhcpv4.MessageTypeDiscover, macA, named("Web.example.org"))
	m, r := ask(t, s, start, discover)
	if m == nil {
		t.Fatal("no offer")
	}
	if got := s.Leases(start); len(got) != 0 {
		t.Errorf("an offer is a lease: %v", got)
	}
	for _, check := range []struct {
		what      string
		got, want any
	}{
		{"type", m.MessageType(), dhcpv4.MessageTypeOffer},
		{"server", m.ServerIdentifier().String(), "192.168.122.1"},
		{"mask", m.SubnetMask().String(), "ffffff00"},
		{"broadcast", m.BroadcastAddress().String(), "192.168.122.255"},
		{"router", fmt.Sprint(m.Router()), "[192.168.122.1]"},
		{"DNS", fmt.Sprint(m.DNS()), "[192.168.122.1]"},
		{"domain", m.DomainName(), "vm.test"},
		{"MTU", fmt.Sprint(m.GetOneOption(dhcpv4.OptionInterfaceMTU)), "[5 120]"},
		{"lease time", m.IPAddressLeaseTime(0), 2 * time.Hour},
		{"renewal", m.IPAddressRenewalTime(0), time.Hour},
		{"boot file", m.BootFileName, "pxelinux.0"},
		{"boot server", m.ServerIPAddr.String(), "192.168.122.9"},
		{"from", r.From, gateway4},
		{"to", r.To.Addr(), address4(m.YourIPAddr)},
		{"port", r.To.Port(), uint16(68)},
		{"MAC", r.MAC.String(), macA.String()},
	} {
		if check.got != check.want {
			t.Errorf("%s is %v, want %v", check.what, check.got, check.want)
		}
	}
	got := lease4(t, s, start, macA, named("Web.example.org"))
	want := Lease{MAC: macA.String(), Address: got, Prefix: 24, Hostname: "web", Expires: start.Add(2 * time.Hour)}
	if leases := s.Leases(start); len(leases) != 1 || leases[0] != want {
		t.Errorf("the leases are %+v, want %+v", leases, want)
	}
}

func TestIsolatedAndLongDomain(t *testing.T) {
	cfg := config4(t, Settings{Ranges: ranges("192.168.122.10", "192.168.122.20"), NoRouter: true})
	cfg.DNS = false
	for len(cfg.Domain) < 240 {
		cfg.Domain += ".more"
	}
	cfg.Subnets[0].DHCP.Hosts = []Host{{MAC: macA.String(), Name: "a-host-name-that-is-rather-long-as-host-names-go-but-good"}}
	m, r := ask(t, open(t, cfg), start, packet4(t, dhcpv4.MessageTypeDiscover, macA))
	if m.Router() != nil || m.DNS() != nil {
		t.Errorf("a way out is told: %s", m.Summary())
	}
	if len(r.Packet) > minReply {
		t.Errorf("the reply has %d bytes, more than %d", len(r.Packet), minReply)
	}
}

func TestHosts(t *testing.T) {
	settings := Settings{
		Ranges: ranges("192.168.122.10", "192.168.122.20"),
		Hosts: []Host{
			{MAC: "52:54:00:00:00:0A", Name: "alpha", Address: addr("192.168.122.50"), LeaseTime: Infinite},
			{ID: "1:ab", Address: addr("192.168.122.12")},
			{Name: "gamma", Address: addr("192.168.122.52")},
			{ID: "boot", Address: addr("192.168.122.53")},
			{MAC: macB.String(), Name: "beta"},
		},
	}
	for _, test := range []struct {
		what      string
		mac       net.HardwareAddr
		modifiers []dhcpv4.Modifier
		want      string
		name      string
	}{
		{"MAC", macA, nil, "192.168.122.50", "alpha"},
		{"MAC with another name", macA, []dhcpv4.Modifier{named("x")}, "192.168.122.50", "alpha"},
		{"client id", macC, []dhcpv4.Modifier{withID(1, 0xab)}, "192.168.122.12", ""},
		{"textual client id", macC, []dhcpv4.Modifier{withID([]byte("boot")...)}, "192.168.122.53", ""},
		{"name", macC, []dhcpv4.Modifier{named("GAMMA")}, "192.168.122.52", "gamma"},
		{"only a name for a MAC", macB, nil, "", "beta"},
	} {
		t.Run(test.what, func(t *testing.T) {
			s := open(t, config4(t, settings))
			got := lease4(t, s, start, test.mac, test.modifiers...)
			if test.want != "" && got != addr(test.want) {
				t.Errorf("the address is %s, want %s", got, test.want)
			}
			if name := s.Hostname(got, start); name != test.name {
				t.Errorf("the name is %q, want %q", name, test.name)
			}
		})
	}
	t.Run("for ever", func(t *testing.T) {
		s := open(t, config4(t, settings))
		lease4(t, s, start, macA)
		if got := s.Leases(start.AddDate(100, 0, 0)); len(got) != 1 || !got[0].Expires.IsZero() {
			t.Errorf("the leases after 100 years are %+v", got)
		}
	})
	t.Run("kept from others", func(t *testing.T) {
		s := open(t, config4(t, settings))
		m, _ := ask(t, s, start, packet4(t, dhcpv4.MessageTypeRequest, macC, wants("192.168.122.12")))
		if m == nil || m.MessageType() != dhcpv4.MessageTypeNak {
			t.Errorf("a host's address is given to somebody else: %v", m)
		}
	})
	t.Run("another id of the same guest", func(t *testing.T) {
		s := open(t, config4(t, settings))
		first := lease4(t, s, start, macA, withID(9))
		if again := lease4(t, s, start, macA, withID(7)); again != first {
			t.Errorf("the guest gets %s, want its own %s", again, first)
		}
	})
}

func TestRequestStates(t *testing.T) {
	ciaddr := func(a string) dhcpv4.Modifier { return dhcpv4.WithClientIP(net.ParseIP(a)) }
	const nak, ack, silence = dhcpv4.MessageTypeNak, dhcpv4.MessageTypeAck, dhcpv4.MessageTypeNone
	for _, test := range []struct {
		what      string
		mac       net.HardwareAddr
		modifiers []dhcpv4.Modifier
		want      dhcpv4.MessageType
		to        string
	}{
		{"init-reboot, own address", macA, []dhcpv4.Modifier{wants("192.168.122.15")}, ack, "192.168.122.15"},
		{"init-reboot, broadcast flag", macA, []dhcpv4.Modifier{wants("192.168.122.15"), dhcpv4.WithBroadcast(true)}, ack, "255.255.255.255"},
		{"init-reboot, somebody else's", macB, []dhcpv4.Modifier{wants("192.168.122.15")}, nak, "255.255.255.255"},
		{"init-reboot, moved from another network", macA, []dhcpv4.Modifier{wants("10.0.0.3")}, nak, "255.255.255.255"},
		{"init-reboot, lease lost", macB, []dhcpv4.Modifier{wants("192.168.122.16")}, ack, "192.168.122.16"},
		{"init-reboot, outside of the range", macB, []dhcpv4.Modifier{wants("192.168.122.99")}, nak, "255.255.255.255"},
		{"init-reboot, the gateway's", macB, []dhcpv4.Modifier{wants("192.168.122.1")}, nak, "255.255.255.255"},
		{"renew", macA, []dhcpv4.Modifier{ciaddr("192.168.122.15")}, ack, "192.168.122.15"},
		{"rebind, with broadcast flag", macA, []dhcpv4.Modifier{ciaddr("192.168.122.15"), dhcpv4.WithBroadcast(true)}, ack, "192.168.122.15"},
		{"renew, somebody else's", macB, []dhcpv4.Modifier{ciaddr("192.168.122.15")}, nak, "255.255.255.255"},
		{"selecting, somebody else's", macB, []dhcpv4.Modifier{toServer(gateway4), wants("192.168.122.15")}, nak, "255.255.255.255"},
		{"selecting another server", macB, []dhcpv4.Modifier{toServer(addr("192.168.122.2")), wants("192.168.122.16")}, silence, ""},
		{"nothing asked for", macB, nil, silence, ""},
		{"relayed", macA, []dhcpv4.Modifier{wants("192.168.122.15"), dhcpv4.WithGatewayIP(net.IPv4(8, 8, 8, 8))}, ack, "192.168.122.15"},
	} {
		t.Run(test.what, func(t *testing.T) {
			s := open(t, config4(t, Settings{Ranges: ranges("192.168.122.10", "192.168.122.20")}))
			if got := lease4(t, s, start, macA, wants("192.168.122.15")); got != addr("192.168.122.15") {
				t.Fatalf("the client has %s, not what it asked for", got)
			}
			m, r := ask(t, s, start.Add(time.Minute), packet4(t, dhcpv4.MessageTypeRequest, test.mac, test.modifiers...))
			if test.want == silence {
				if m != nil {
					t.Fatalf("the answer is %s, want none", m.Summary())
				}
				return
			}
			if m == nil || m.MessageType() != test.want || r.To.Addr() != addr(test.to) {
				t.Fatalf("the answer is %v, want %s to %s", m, test.want, test.to)
			}
			if r.To.Addr() == broadcast4 && r.MAC != nil {
				t.Errorf("a broadcast goes to %s only", r.MAC)
			}
		})
	}
}

func TestRenewalProlongs(t *testing.T) {
	s := open(t, config4(t, Settings{Ranges: ranges("192.168.122.10", "192.168.122.20")}))
	a := lease4(t, s, start, macA)
	later := start.Add(30 * time.Minute)
	ask(t, s, later, packet4(t, dhcpv4.MessageTypeRequest, macA, dhcpv4.WithClientIP(a.AsSlice())))
	if got := s.Leases(later); len(got) != 1 || !got[0].Expires.Equal(later.Add(time.Hour)) {
		t.Errorf("the leases are %+v", got)
	}
	if got := s.Leases(later.Add(time.Hour)); len(got) != 0 {
		t.Errorf("a lease goes on after its end: %+v", got)
	}
}

func TestShorterLeaseOnRequest(t *testing.T) {
	for seconds, want := range map[uint32]time.Duration{1: minTime, 600: 10 * time.Minute, 7200: time.Hour} {
		s := open(t, config4(t, Settings{Ranges: ranges("192.168.122.10", "192.168.122.20")}))
		lease4(t, s, start, macA, dhcpv4.WithLeaseTime(seconds))
		if got := s.Leases(start)[0].Expires.Sub(start); got != want {
			t.Errorf("a client that asks for %d s gets %s, want %s", seconds, got, want)
		}
	}
}

func TestDeclineAndRelease(t *testing.T) {
	s := open(t, config4(t, Settings{Ranges: ranges("192.168.122.10", "192.168.122.11")}))
	first := lease4(t, s, start, macA)
	decline := packet4(t, dhcpv4.MessageTypeDecline, macA, wants(first.String()), toServer(gateway4))
	s.Handle4(packet4(t, dhcpv4.MessageTypeDecline, macB, wants(first.String()), toServer(gateway4)), "", start)
	if len(s.Leases(start)) != 1 {
		t.Fatal("a stranger's DECLINE takes a lease away")
	}
	s.Handle4(decline, "", start)
	second := lease4(t, s, start, macA)
	if second == first || !second.IsValid() {
		t.Fatalf("after DECLINE of %s the client gets %s", first, second)
	}
	if third := lease4(t, s, start, macB); third.IsValid() {
		t.Errorf("an address in use is given: %s", third)
	}
	s.Handle4(packet4(t, dhcpv4.MessageTypeRelease, macB, dhcpv4.WithClientIP(second.AsSlice())), "", start)
	if len(s.Leases(start)) != 1 {
		t.Fatal("a stranger's RELEASE takes a lease away")
	}
	s.Handle4(packet4(t, dhcpv4.MessageTypeRelease, macA, dhcpv4.WithClientIP(second.AsSlice())), "", start)
	if got := s.Leases(start); len(got) != 0 {
		t.Errorf("after RELEASE there are leases: %+v", got)
	}
	if again := lease4(t, s, start, macA); again != second {
		t.Errorf("a client that is back gets %s, not its %s", again, second)
	}
	if b := lease4(t, s, start.Add(refusedTime), macB); b != first {
		t.Errorf("an address that was in use is %s later, want %s again", b, first)
	}
}

func TestExhaustion(t *testing.T) {
	s := open(t, config4(t, Settings{Ranges: ranges("192.168.122.10", "192.168.122.11"), LeaseTime: time.Hour}))
	a := lease4(t, s, start, macA)
	b := lease4(t, s, start.Add(time.Minute), macB)
	if c := lease4(t, s, start.Add(2*time.Minute), macC); c.IsValid() {
		t.Fatalf("an exhausted server gives %s", c)
	}
	if c := lease4(t, s, start.Add(2*time.Hour), macC); c != a {
		t.Errorf("the third client gets %s, want the address free for longest, %s (the other is %s)", c, a, b)
	}
	if got := lease4(t, s, start.Add(2*time.Hour), macB); got != b {
		t.Errorf("the second client gets %s, want its %s again", got, b)
	}
}

func TestOffersAreHeld(t *testing.T) {
	s := open(t, config4(t, Settings{Ranges: ranges("192.168.122.10", "192.168.122.10")}))
	if m, _ := ask(t, s, start, packet4(t, dhcpv4.MessageTypeDiscover, macA)); m == nil {
		t.Fatal("no offer")
	}
	if m, _ := ask(t, s, start, packet4(t, dhcpv4.MessageTypeDiscover, macB)); m != nil {
		t.Errorf("one address is offered twice: %s", m.Summary())
	}
	if m, _ := ask(t, s, start.Add(offerTime), packet4(t, dhcpv4.MessageTypeDiscover, macB)); m == nil {
		t.Error("an offer that nobody took is held for ever")
	}
}

func TestOneGuestCannotHaveItAll(t *testing.T) {
	s := open(t, config4(t, Settings{Ranges: ranges("192.168.122.10", "192.168.122.250")}))
	for i := range 100 {
		lease4(t, s, start.Add(time.Duration(i)*time.Second), macA, withID(0, byte(i)))
	}
	now := start.Add(100 * time.Second)
	if got := len(s.Leases(now)); got != maxPerMAC {
		t.Errorf("one MAC has %d leases, want %d", got, maxPerMAC)
	}
	if !lease4(t, s, now, macB).IsValid() {
		t.Error("nothing is left for another guest")
	}
}

func TestFloodIsBounded(t *testing.T) {
	cfg := config4(t, Settings{Ranges: []Range{{First: addr("10.0.0.2"), Last: addr("10.0.255.250")}}})
	cfg.Subnets[0].Gateway = netip.MustParsePrefix("10.0.0.1/16")
	s := open(t, cfg)
	answers := 0
	for i := range 5000 {
		mac := net.HardwareAddr{2, 0, 0, 0, byte(i >> 8), byte(i)}
		if s.Handle4(packet4(t, dhcpv4.MessageTypeDiscover, mac), "", start) != nil {
			answers++
		}
	}
	if answers != packetBurst {
		t.Errorf("%d packets of one moment are answered, want %d", answers, packetBurst)
	}
	for i := range 5000 {
		mac := net.HardwareAddr{2, 1, 0, 0, byte(i >> 8), byte(i)}
		s.Handle4(packet4(t, dhcpv4.MessageTypeDiscover, mac), "", start.Add(time.Duration(i)*10*time.Millisecond))
	}
	if got := len(s.table.offers); got > maxOffers {
		t.Errorf("%d offers are held", got)
	}
}

func TestTableIsBounded(t *testing.T) {
	cfg := config4(t, Settings{Ranges: []Range{{First: addr("10.0.0.2"), Last: addr("10.0.255.250")}}})
	cfg.Subnets[0].Gateway = netip.MustParsePrefix("10.0.0.1/16")
	s := open(t, cfg)
	for i := range maxRecords {
		mac := net.HardwareAddr{2, 0, 0, 0, byte(i >> 8), byte(i)}
		c := &client{mac: mac.String()}
		a, ok := s.table.allocate(s.plan, c, start)
		if !ok {
			t.Fatalf("client %d gets nothing", i)
		}
		s.bind(c, a, time.Hour, start)
	}
	if got := len(s.table.records); got != maxRecords {
		t.Fatalf("there are %d records", got)
	}
	if a := lease4(t, s, start, macA); a.IsValid() {
		t.Errorf("a full table gives %s", a)
	}
	if a := lease4(t, s, start.Add(2*time.Hour), macA); !a.IsValid() || len(s.table.records) != maxRecords {
		t.Errorf("a full table of old leases gives %s, and has %d records", a, len(s.table.records))
	}
}

func TestInform(t *testing.T) {
	s := open(t, config4(t, Settings{Ranges: ranges("192.168.122.10", "192.168.122.20")}))
	m, r := ask(t, s, start, packet4(t, dhcpv4.MessageTypeInform, macA, dhcpv4.WithClientIP(net.ParseIP("192.168.122.77"))))
	if m == nil || m.MessageType() != dhcpv4.MessageTypeAck || !m.YourIPAddr.IsUnspecified() || m.IPAddressLeaseTime(0) != 0 ||
		r.To.Addr() != addr("192.168.122.77") || len(m.DNS()) != 1 {
		t.Errorf("the answer to INFORM is %v", m)
	}
	if len(s.Leases(start)) != 0 {
		t.Error("INFORM makes a lease")
	}
}

func TestGarbage4(t *testing.T) {
	s := open(t, config4(t, Settings{Ranges: ranges("192.168.122.10", "192.168.122.20")}))
	good := packet4(t, dhcpv4.MessageTypeDiscover, macA)
	reply := append([]byte{2}, good[1:]...)
	token := append([]byte{1, 6}, good[2:]...)
	for _, packet := range [][]byte{nil, {1}, good[:100], reply, token, packet4(t, dhcpv4.MessageTypeNone, macA), packet4(t, dhcpv4.MessageTypeAck, macA)} {
		if r := s.Handle4(packet, "", start); r != nil {
			t.Errorf("% x is answered", packet[:min(len(packet), 8)])
		}
	}
}

func TestNames(t *testing.T) {
	s := open(t, config4(t, Settings{Ranges: ranges("192.168.122.10", "192.168.122.20")}))
	a := lease4(t, s, start, macA, named("web"))
	if got := s.Addresses("WEB", start); len(got) != 1 || got[0] != a {
		t.Errorf("web is %v, want %s", got, a)
	}
	b := lease4(t, s, start, macB, named("web"))
	if got := s.Addresses("web", start); len(got) != 1 || got[0] != b {
		t.Errorf("web is %v after a new guest of that name, want %s", got, b)
	}
	if got := s.Hostname(a, start); got != "" {
		t.Errorf("the old guest is still called %q", got)
	}
	if got := s.Addresses("web", start.Add(2*time.Hour)); got != nil {
		t.Errorf("the name is known after the lease's end: %v", got)
	}
	option := func(bytes ...byte) dhcpv4.Modifier {
		return dhcpv4.WithOption(dhcpv4.OptGeneric(dhcpv4.OptionFQDN, bytes))
	}
	c := lease4(t, s, start, macC, option(append([]byte{4, 0, 0, 3}, "ftp\x03org\x00"...)...))
	if got := s.Hostname(c, start); got != "ftp" {
		t.Errorf("the name of the FQDN option is %q, want ftp", got)
	}
}

func TestCleanName(t *testing.T) {
	for name, want := range map[string]string{
		"web": "web", "Web.Example.org": "web", "a_b-1": "a_b-1", "web\x00": "web",
		"": "", ".": "", "-a": "", "a-": "", "a b": "", "ä": "", "../x": "", "a\n": "",
	} {
		if got := cleanName(name); got != want {
			t.Errorf("cleanName(%q) is %q, want %q", name, got, want)
		}
	}
}

func TestSettingsThatMakeNoSense(t *testing.T) {
	for what, settings := range map[string]Settings{
		"range of another network": {Ranges: ranges("10.0.0.1", "10.0.0.2")},
		"range upside down":        {Ranges: ranges("192.168.122.20", "192.168.122.10")},
		"host of another network":  {Hosts: []Host{{Name: "x", Address: addr("10.0.0.1")}}},
	} {
		if _, err := Open(config4(t, settings)); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	if _, err := Open(Config{Subnets: []Subnet{{}}}); err == nil {
		t.Error("no gateway: no error")
	}
}
