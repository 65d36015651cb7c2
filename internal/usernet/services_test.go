package usernet

import (
	"net"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/miekg/dns"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// TestDHCP: a device without an address is offered one.
func TestDHCP(t *testing.T) {
	cfg := testConfig()
	first := netip.MustParseAddr("192.168.77.100")
	cfg.Subnets[0].DHCP = &DHCP{Ranges: []Range{{First: first, Last: first.Next()}}}
	one := newGuest(t, newGateway(t, cfg))
	offers := make(chan *dhcpv4.DHCPv4, 1)
	one.onFrame.Store(&frameHook{func(frame []byte) {
		if header.Ethernet(frame).Type() != header.IPv4ProtocolNumber {
			return
		}
		ip := header.IPv4(frame[header.EthernetMinimumSize:])
		if ip.Protocol() != 17 || header.UDP(ip.Payload()).SourcePort() != dhcpPort4 {
			return
		}
		if m, err := dhcpv4.FromBytes(header.UDP(ip.Payload()).Payload()); err == nil {
			select {
			case offers <- m:
			default:
			}
		}
	}})
	mac, _ := net.ParseMAC("52:54:00:00:00:42")
	discover, err := dhcpv4.NewDiscovery(mac)
	if err != nil {
		t.Fatal(err)
	}
	from := netip.AddrPortFrom(netip.IPv4Unspecified(), 68)
	to := netip.MustParseAddrPort("255.255.255.255:67")
	packet := discover.ToBytes()
	frame := rawFrame(mac.String(), 17, from.Addr(), to.Addr(), append(udpHeader(from, to, packet), packet...))
	copy(frame, header.EthernetBroadcastAddress)
	if _, err := one.link.Write(frame); err != nil {
		t.Fatal(err)
	}
	select {
	case m := <-offers:
		got, _ := netip.AddrFromSlice(m.YourIPAddr.To4())
		if m.MessageType() != dhcpv4.MessageTypeOffer || got != first && got != first.Next() {
			t.Errorf("the offer is %v", m.Summary())
		}
	case <-time.After(patience):
		t.Error("no offer")
	}
}

// TestDNS: a name of the network is known at the gateway, over UDP and TCP.
func TestDNS(t *testing.T) {
	cfg := testConfig()
	cfg.DNS = &DNS{LocalOnly: true, Hosts: []DNSHost{{Address: guest4, Names: []string{"one"}}}}
	one := newGuest(t, newGateway(t, cfg))
	at := full(netip.AddrPortFrom(gateway4, dnsPort))
	packets, err := gonet.DialUDP(one.stack, nil, &at, network(gateway4))
	if err != nil {
		t.Fatal(err)
	}
	stream, err := one.dial(netip.AddrPortFrom(gateway4, dnsPort))
	if err != nil {
		t.Fatal(err)
	}
	for _, conn := range []net.Conn{packets, stream} {
		conn.SetDeadline(time.Now().Add(patience))
		query := new(dns.Msg).SetQuestion("one.", dns.TypeA)
		c := &dns.Conn{Conn: conn}
		if err := c.WriteMsg(query); err != nil {
			t.Fatal(err)
		}
		answer, err := c.ReadMsg()
		if err != nil || len(answer.Answer) != 1 || answer.Answer[0].(*dns.A).A.String() != guest4.String() {
			t.Errorf("the answer is %v, %v", answer, err)
		}
		conn.Close()
	}
}

// TestLeasesAreKept: what was given out is in the file when the gateway ends.
func TestLeasesAreKept(t *testing.T) {
	cfg := testConfig()
	first := netip.MustParseAddr("192.168.77.100")
	cfg.Subnets[0].DHCP = &DHCP{Ranges: []Range{{First: first, Last: first.Next()}}}
	cfg.LeaseFile = filepath.Join(t.TempDir(), "leases")
	g, err := New(cfg, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	g.services.mu.Lock()
	server := g.services.dhcp
	g.services.mu.Unlock()
	// More leases than are written at once.
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 1}
	request := func() {
		m, err := dhcpv4.New(dhcpv4.WithHwAddr(mac), dhcpv4.WithMessageType(dhcpv4.MessageTypeRequest),
			dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(first.AsSlice())))
		if err != nil {
			t.Fatal(err)
		}
		if server.Handle4(m.ToBytes(), "", time.Now()) == nil {
			t.Fatal("no answer")
		}
	}
	release := func() {
		m, err := dhcpv4.New(dhcpv4.WithHwAddr(mac), dhcpv4.WithMessageType(dhcpv4.MessageTypeRelease), dhcpv4.WithClientIP(first.AsSlice()))
		if err != nil {
			t.Fatal(err)
		}
		server.Handle4(m.ToBytes(), "", time.Now())
	}
	for range 100 {
		request()
		release()
	}
	request()
	g.Close()
	again := newGateway(t, cfg)
	if got := again.Leases(); len(got) != 1 || got[0].Address != first {
		t.Errorf("the leases of the next gateway are %+v", got)
	}
}
