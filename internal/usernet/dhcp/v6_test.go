package dhcp

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
)

var (
	gateway6 = netip.MustParsePrefix("fd00:1::1/64")
	// link is the link-local address of a guest that tells nothing of it.
	link = netip.MustParseAddr("fe80::1:2:3:4")
)

func config6(t *testing.T, settings *Settings) Config {
	t.Helper()
	return Config{
		Name: "six", MAC: net.HardwareAddr{0x52, 0x54, 0, 0, 0, 1}, Domain: "vm.test", DNS: true,
		Subnets: []Subnet{{Gateway: gateway6, DHCP: settings}},
		Log:     slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
}

func range6(t *testing.T) *Settings {
	t.Helper()
	return &Settings{Ranges: ranges("fd00:1::100", "fd00:1::1ff")}
}

// duidOf is a DUID-LL, 00:03:00:01 and the MAC.
func duidOf(mac net.HardwareAddr) dhcpv6.DUID {
	return &dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: mac}
}

func packet6(t *testing.T, kind dhcpv6.MessageType, modifiers ...dhcpv6.Modifier) *dhcpv6.Message {
	t.Helper()
	m, err := dhcpv6.NewMessage(modifiers...)
	if err != nil {
		t.Fatal(err)
	}
	m.MessageType = kind
	return m
}

func ask6(t *testing.T, s *Server, now time.Time, m *dhcpv6.Message) *dhcpv6.Message {
	t.Helper()
	r := s.Handle6(m.ToBytes(), link, "", now)
	if r == nil {
		return nil
	}
	if r.To != netip.AddrPortFrom(link, 546) {
		t.Errorf("the answer goes to %s", r.To)
	}
	out, err := dhcpv6.MessageFromBytes(r.Packet)
	if err != nil {
		t.Fatal(err)
	}
	if out.TransactionID != m.TransactionID {
		t.Error("the answer is to another message")
	}
	return out
}

// given is the one address of an answer; invalid for none.
func given(m *dhcpv6.Message) netip.Addr {
	if m == nil || m.Options.OneIANA() == nil || m.Options.OneIANA().Options.OneAddress() == nil {
		return netip.Addr{}
	}
	return address6(m.Options.OneIANA().Options.OneAddress())
}

// lease6 does SOLICIT and REQUEST.
func lease6(t *testing.T, s *Server, now time.Time, mac net.HardwareAddr, modifiers ...dhcpv6.Modifier) (netip.Addr, *dhcpv6.Message) {
	t.Helper()
	modifiers = append([]dhcpv6.Modifier{dhcpv6.WithClientID(duidOf(mac))}, modifiers...)
	solicit, err := dhcpv6.NewSolicit(mac, modifiers...)
	if err != nil {
		t.Fatal(err)
	}
	advertise := ask6(t, s, now, solicit)
	if advertise == nil || advertise.MessageType != dhcpv6.MessageTypeAdvertise {
		t.Fatalf("the answer to SOLICIT is %v", advertise)
	}
	if !given(advertise).IsValid() {
		return netip.Addr{}, advertise
	}
	request, err := dhcpv6.NewRequestFromAdvertise(advertise, modifiers...)
	if err != nil {
		t.Fatal(err)
	}
	reply := ask6(t, s, now, request)
	if reply == nil || reply.MessageType != dhcpv6.MessageTypeReply || given(reply) != given(advertise) {
		t.Fatalf("the answer to REQUEST is %v", reply)
	}
	return given(reply), reply
}

func TestLease6(t *testing.T) {
	s := open(t, config6(t, range6(t)))
	a, m := lease6(t, s, start, macA, dhcpv6.WithFQDN(0, "Web.vm.test"))
	if got := fmt.Sprint(m.Options.DNS()); got != "[fd00:1::1]" {
		t.Errorf("DNS is %s", got)
	}
	if got := m.Options.DomainSearchList().Labels; len(got) != 1 || got[0] != "vm.test" {
		t.Errorf("the domains are %v", got)
	}
	if got := m.Options.OneIANA().Options.OneAddress().ValidLifetime; got != time.Hour {
		t.Errorf("the lifetime is %s", got)
	}
	want := Lease{
		MAC: macA.String(), Address: a, Prefix: 64, Hostname: "web", ClientID: "00:03:00:01:" + macA.String(),
		IAID: "10", Expires: start.Add(time.Hour),
	}
	if got := s.Leases(start); len(got) != 1 || got[0] != want {
		t.Errorf("the leases are %+v, want %+v", got, want)
	}
	if again, _ := lease6(t, s, start, macA); again != a {
		t.Errorf("the client gets %s, not its %s", again, a)
	}
	second, _ := lease6(t, s, start, macA, dhcpv6.WithIAID([4]byte{1}))
	if second == a || !second.IsValid() {
		t.Errorf("a second association gets %s", second)
	}
}

func TestHosts6(t *testing.T) {
	settings := range6(t)
	settings.Hosts = []Host{
		{ID: "0:3:0:1:52:54:0:0:0:a", Name: "alpha", Address: addr("fd00:1::a")},
		{Name: "beta", Address: addr("fd00:1::b")},
	}
	s := open(t, config6(t, settings))
	if a, _ := lease6(t, s, start, macA); a != addr("fd00:1::a") || s.Hostname(a, start) != "alpha" {
		t.Errorf("the host by id gets %s, %q", a, s.Hostname(a, start))
	}
	if a, _ := lease6(t, s, start, macB, dhcpv6.WithFQDN(0, "beta")); a != addr("fd00:1::b") {
		t.Errorf("the host by name gets %s", a)
	}
}

func TestMACOfLinkLocalAddress(t *testing.T) {
	s := open(t, config6(t, range6(t)))
	solicit, err := dhcpv6.NewSolicit(macA, dhcpv6.WithRapidCommit)
	if err != nil {
		t.Fatal(err)
	}
	from := netip.MustParseAddr("fe80::5054:ff:fe00:b")
	if s.Handle6(solicit.ToBytes(), from, "", start) == nil {
		t.Fatal("no answer")
	}
	if got := s.Leases(start); len(got) != 1 || got[0].MAC != macB.String() {
		t.Errorf("the leases after a rapid commit are %+v, want one of %s", got, macB)
	}
}

func TestExhaustion6(t *testing.T) {
	s := open(t, config6(t, &Settings{Ranges: ranges("fd00:1::100", "fd00:1::100")}))
	a, _ := lease6(t, s, start, macA)
	_, m := lease6(t, s, start, macB)
	if got := m.Options.OneIANA().Options.Status(); got == nil || got.StatusCode != iana.StatusNoAddrsAvail {
		t.Errorf("the status is %v", got)
	}
	if b, _ := lease6(t, s, start.Add(2*time.Hour), macB); b != a {
		t.Errorf("the address whose lease has run out is not given again: %s", b)
	}
}

func TestWholeSubnetAsRange(t *testing.T) {
	s := open(t, config6(t, &Settings{Ranges: ranges("fd00:1::", "fd00:1::ffff:ffff:ffff:ffff")}))
	a, _ := lease6(t, s, start, macA)
	b, _ := lease6(t, s, start, macB)
	if !a.IsValid() || !b.IsValid() || a == b || !gateway6.Contains(a) || !gateway6.Contains(b) {
		t.Errorf("the clients get %s and %s", a, b)
	}
}

func TestRenewConfirmReleaseDecline(t *testing.T) {
	s := open(t, config6(t, range6(t)))
	a, m := lease6(t, s, start, macA)
	ia := m.Options.OneIANA()
	server := m.Options.ServerID()
	id := dhcpv6.WithClientID(duidOf(macA))
	later := start.Add(30 * time.Minute)

	renew := packet6(t, dhcpv6.MessageTypeRenew, id, dhcpv6.WithServerID(server), dhcpv6.WithOption(ia))
	if got := given(ask6(t, s, later, renew)); got != a || !s.Leases(later)[0].Expires.Equal(later.Add(time.Hour)) {
		t.Errorf("RENEW gives %s, and the leases are %+v", got, s.Leases(later))
	}

	confirm := packet6(t, dhcpv6.MessageTypeConfirm, id, dhcpv6.WithOption(ia))
	if got := ask6(t, s, later, confirm).Options.Status(); got.StatusCode != iana.StatusSuccess {
		t.Errorf("CONFIRM of the own address: %v", got)
	}
	stray := &dhcpv6.OptIANA{IaId: ia.IaId}
	stray.Options.Add(&dhcpv6.OptIAAddress{IPv6Addr: net.ParseIP("fd00:2::5")})
	confirm = packet6(t, dhcpv6.MessageTypeConfirm, id, dhcpv6.WithOption(stray))
	if got := ask6(t, s, later, confirm).Options.Status(); got.StatusCode != iana.StatusNotOnLink {
		t.Errorf("CONFIRM of an address of another network: %v", got)
	}
	rebind := packet6(t, dhcpv6.MessageTypeRebind, id, dhcpv6.WithOption(stray))
	addresses := ask6(t, s, later, rebind).Options.OneIANA().Options.Addresses()
	if len(addresses) != 2 || address6(addresses[0]) != a || addresses[1].ValidLifetime != 0 {
		t.Errorf("REBIND of an address of another network: %v", addresses)
	}

	release := packet6(t, dhcpv6.MessageTypeRelease, id, dhcpv6.WithServerID(server), dhcpv6.WithOption(ia))
	if got := ask6(t, s, later, release); got.Options.Status().StatusCode != iana.StatusSuccess || len(s.Leases(later)) != 0 {
		t.Errorf("RELEASE: %v, %+v", got, s.Leases(later))
	}
	if got := ask6(t, s, later, release).Options.OneIANA().Options.Status(); got == nil || got.StatusCode != iana.StatusNoBinding {
		t.Errorf("a second RELEASE: %v", got)
	}
	if again, _ := lease6(t, s, later, macA); again != a {
		t.Errorf("a client that is back gets %s, not its %s", again, a)
	}
	decline := packet6(t, dhcpv6.MessageTypeDecline, id, dhcpv6.WithServerID(server), dhcpv6.WithOption(ia))
	ask6(t, s, later, decline)
	if again, _ := lease6(t, s, later, macA); again == a {
		t.Errorf("an address in use is given again: %s", again)
	}
}

func TestInformationRequest(t *testing.T) {
	s := open(t, config6(t, nil)) // addresses are given by router advertisements
	m := ask6(t, s, start, packet6(t, dhcpv6.MessageTypeInformationRequest))
	if m == nil || fmt.Sprint(m.Options.DNS()) != "[fd00:1::1]" || m.Options.ServerID() == nil {
		t.Errorf("the answer is %v", m)
	}
	if solicit, err := dhcpv6.NewSolicit(macA); err != nil || ask6(t, s, start, solicit) != nil {
		t.Errorf("SOLICIT is answered where no addresses are given (%v)", err)
	}
}

func TestSilence6(t *testing.T) {
	s := open(t, config6(t, range6(t)))
	id, stranger := dhcpv6.WithClientID(duidOf(macA)), dhcpv6.WithServerID(duidOf(macB))
	iaid := dhcpv6.WithIAID([4]byte{1})
	long := dhcpv6.WithClientID(&dhcpv6.DUIDOpaque{Type: 9, Data: make([]byte, 200)})
	padding := dhcpv6.WithUserClass(make([]byte, maxPacket))
	for what, m := range map[string]*dhcpv6.Message{
		"SOLICIT without id":        packet6(t, dhcpv6.MessageTypeSolicit, iaid),
		"SOLICIT with a long id":    packet6(t, dhcpv6.MessageTypeSolicit, long, iaid),
		"SOLICIT to a server":       packet6(t, dhcpv6.MessageTypeSolicit, id, stranger, iaid),
		"REQUEST of another server": packet6(t, dhcpv6.MessageTypeRequest, id, stranger, iaid),
		"REQUEST of no server":      packet6(t, dhcpv6.MessageTypeRequest, id, iaid),
		"CONFIRM of nothing":        packet6(t, dhcpv6.MessageTypeConfirm, id, iaid),
		"SOLICIT that is too long":  packet6(t, dhcpv6.MessageTypeSolicit, id, iaid, padding),
		"REPLY":                     packet6(t, dhcpv6.MessageTypeReply, id, iaid),
	} {
		if got := ask6(t, s, start, m); got != nil {
			t.Errorf("%s is answered: %s", what, got.Summary())
		}
	}
}

func TestOtherAssociations(t *testing.T) {
	s := open(t, config6(t, range6(t)))
	_, m := lease6(t, s, start, macA, dhcpv6.WithIAPD([4]byte{1}), dhcpv6.WithIATA([4]byte{2}))
	if got := m.Options.OneIAPD(); got == nil || got.Options.Status().StatusCode != iana.StatusNoPrefixAvail {
		t.Errorf("a prefix: %v", got)
	}
	if got := m.Options.OneIATA(); got == nil || got.Options.Status().StatusCode != iana.StatusNoAddrsAvail {
		t.Errorf("a temporary address: %v", got)
	}
}
