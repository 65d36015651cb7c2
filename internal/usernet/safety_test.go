package usernet

import (
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

func TestOutside(t *testing.T) {
	v, err := newView(testConfig())
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		address string
		want    bool
	}{
		{"8.8.8.8", true}, {"10.0.0.1", true}, {"192.168.78.1", true}, {"2001:db8::1", true}, {"fd78::1", true},
		{"127.0.0.1", false}, {"127.255.255.254", false}, {"0.0.0.0", false}, {"0.1.2.3", false},
		{"::", false}, {"::1", false}, {"::127.0.0.1", false}, {"::ffff:127.0.0.1", false}, {"::ffff:8.8.8.8", false},
		{"169.254.169.254", false}, {"fe80::1", false}, {"fec0::1", false},
		{"224.0.0.1", false}, {"239.255.255.250", false}, {"ff02::1", false}, {"ff0e::1", false},
		{"255.255.255.255", false}, {"240.0.0.1", false},
		{"192.168.77.1", false}, {"192.168.77.2", false}, {"192.168.77.255", false}, {"fd77::1", false}, {"fd77::5", false},
	} {
		if got := v.outside(netip.MustParseAddr(test.address)); got != test.want {
			t.Errorf("outside(%s) is %v", test.address, got)
		}
	}
	cfg := testConfig()
	cfg.NAT = false
	if v, err = newView(cfg); err != nil {
		t.Fatal(err)
	}
	if v.outside(netip.MustParseAddr("8.8.8.8")) {
		t.Error("without NAT there is a way out")
	}
}

// loopback listens on a loopback address of the host, TCP and UDP on the same
// port, and counts what comes.
func loopback(t *testing.T, at string, came *atomic.Int64) netip.AddrPort {
	t.Helper()
	port := hostListener(t, netip.MustParseAddr(at), func(c *net.TCPConn) { came.Add(1) })
	packets, err := net.ListenPacket("udp", port.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { packets.Close() })
	go func() {
		buf := make([]byte, 1500)
		for {
			if _, _, err := packets.ReadFrom(buf); err != nil {
				return
			}
			came.Add(1)
		}
	}()
	return port
}

// forge sends a UDP datagram and a TCP SYN to an address that the guest's own
// stack would not send to.
func forge(t *testing.T, one *guest, from, to netip.AddrPort) {
	t.Helper()
	payload := []byte("x")
	one.sendRaw(t, 17, from.Addr(), to.Addr(), append(udpHeader(from, to, payload), payload...))
	one.sendRaw(t, 6, from.Addr(), to.Addr(), syn(from, to))
}

// TestLoopbackIsOutOfReach tries every way in which a guest may write the
// host's own addresses, against real sockets.
func TestLoopbackIsOutOfReach(t *testing.T) {
	var came atomic.Int64
	four := loopback(t, "127.0.0.1", &came)
	six := loopback(t, "::1", &came)
	g := newGateway(t, testConfig())
	one := newGuest(t, g)
	from4, from6 := netip.AddrPortFrom(guest4, 5555), netip.AddrPortFrom(guest6, 5555)
	for _, to := range []string{"127.0.0.1", "127.0.0.2", "0.0.0.0", "192.168.77.1", "192.168.77.9", "169.254.1.1", "255.255.255.255", "192.168.77.255", "224.0.0.1"} {
		forge(t, one, from4, netip.AddrPortFrom(netip.MustParseAddr(to), four.Port()))
	}
	for _, to := range []string{"::1", "::", "::127.0.0.1", "::ffff:127.0.0.1", "fd77::1", "fd77::9", "fe80::1", "ff02::1", "ff0e::1"} {
		forge(t, one, from6, netip.AddrPortFrom(netip.MustParseAddr(to), six.Port()))
		forge(t, one, from6, netip.AddrPortFrom(netip.MustParseAddr(to), four.Port()))
	}
	// Sources that no guest may have.
	for _, from := range []string{"127.0.0.1", "192.168.77.1", "10.9.9.9", "0.0.0.0"} {
		forge(t, one, netip.AddrPortFrom(netip.MustParseAddr(from), 5555), netip.AddrPortFrom(outsideAddr(t), four.Port()))
	}
	// What was sent before this is done when this is answered.
	at := hostListener(t, outsideAddr(t), echo)
	if err := exchange(one, at, "last"); err != nil {
		t.Fatal(err)
	}
	if n := came.Load(); n != 0 {
		t.Errorf("%d packets or connections have reached the host's loopback", n)
	}
	if n := len(openFlows(g)); n != 0 {
		t.Errorf("%d flows were opened: %v", n, openFlows(g))
	}
}

func openFlows(g *Gateway) []flowKey {
	g.flows.mu.Lock()
	defer g.flows.mu.Unlock()
	var out []flowKey
	for k := range g.flows.open {
		out = append(out, k)
	}
	return out
}

// TestWithoutNATNothingLeaves: not even to an address that is outside.
func TestWithoutNATNothingLeaves(t *testing.T) {
	var came atomic.Int64
	at := loopback(t, outsideAddr(t).String(), &came)
	cfg := testConfig()
	cfg.NAT = false
	g := newGateway(t, cfg)
	one := newGuest(t, g)
	if _, err := one.dial(at); err == nil {
		t.Error("a connection to outside is made without NAT")
	}
	forge(t, one, netip.AddrPortFrom(guest4, 5555), at)
	if err := one.ping(gateway4, 10); err != nil {
		t.Error(err)
	}
	if n := came.Load(); n != 0 {
		t.Errorf("%d packets or connections have left", n)
	}
}

// TestGatewayHasItsServicesOnly: what listens on the host is not on the
// gateway's address.
func TestGatewayHasItsServicesOnly(t *testing.T) {
	var came atomic.Int64
	at := loopback(t, "127.0.0.1", &came)
	one := newGuest(t, newGateway(t, testConfig()))
	for _, a := range []netip.Addr{gateway4, gateway6} {
		if _, err := one.dial(netip.AddrPortFrom(a, at.Port())); err == nil {
			t.Errorf("the gateway's %v takes a connection", a)
		}
	}
	if came.Load() != 0 {
		t.Error("the host's loopback is reached by the gateway's address")
	}
}

// TestFloodOfSYNs: a guest that opens connections and never completes them is
// bounded, and another guest still gets through.
func TestFloodOfSYNs(t *testing.T) {
	at := hostListener(t, outsideAddr(t), echo)
	g := newGateway(t, testConfig())
	one := newGuest(t, g)
	flooder := netip.MustParseAddr("192.168.77.66")
	for port := range 5000 {
		from := netip.AddrPortFrom(flooder, uint16(1024+port))
		one.sendRawFrom(t, "52:54:00:00:00:66", 6, flooder, at.Addr(), syn(from, at))
	}
	g.limits.mu.Lock()
	used, most := g.limits.used[halfOpen], g.limits.perGuest[halfOpen]
	g.limits.mu.Unlock()
	if used > most {
		t.Errorf("%d half-open connections, the bound is %d", used, most)
	}
	if err := exchange(one, at, "still here"); err != nil {
		t.Errorf("another guest during the flood: %v", err)
	}
}

// TestFloodOfMACs: a guest that opens connections with made-up MAC addresses is
// bounded as one guest, by its port.
func TestFloodOfMACs(t *testing.T) {
	at := hostListener(t, outsideAddr(t), echo)
	g := newGateway(t, testConfig())
	g.FindPorts(func(mac net.HardwareAddr) string {
		if mac.String() == guestMAC {
			return "one"
		}
		return "flooder"
	})
	one := newGuest(t, g)
	for i := range 3000 {
		from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 168, 77, byte(10 + i%200)}), uint16(1024+i))
		mac := net.HardwareAddr{2, 7, 0, 0, byte(i >> 8), byte(i)}.String()
		one.sendRawFrom(t, mac, 6, from.Addr(), at.Addr(), syn(from, at))
	}
	g.limits.mu.Lock()
	guests, used := len(g.limits.guests), g.limits.used[halfOpen]
	g.limits.mu.Unlock()
	if guests > 1 || used > g.limits.perGuest[halfOpen] {
		t.Errorf("%d half-open connections of %d guests, want at most %d of one", used, guests, g.limits.perGuest[halfOpen])
	}
	if err := exchange(one, at, "still here"); err != nil {
		t.Errorf("another guest during the flood: %v", err)
	}
}

func TestNoAnswerForOthersAddresses(t *testing.T) {
	one := newGuest(t, newGateway(t, testConfig()))
	// The stack under the gateway would answer ARP for any address.
	result := make(chan stack.LinkResolutionResult, 1)
	one.stack.GetLinkAddress(nic, address(netip.MustParseAddr("192.168.77.9")), tcpip.Address{}, network(guest4),
		func(r stack.LinkResolutionResult) { result <- r })
	select {
	case r := <-result:
		if r.Err == nil {
			t.Errorf("somebody answers for an address that nobody has: %v", r.LinkAddress)
		}
	case <-time.After(patience):
		t.Error("no end of the search")
	}
}

func TestUDP(t *testing.T) {
	g := newGateway(t, testConfig())
	one := newGuest(t, g)
	packets, err := net.ListenPacket("udp", netip.AddrPortFrom(outsideAddr(t), 0).String())
	if err != nil {
		t.Fatal(err)
	}
	defer packets.Close()
	go func() {
		buf := make([]byte, 1<<16)
		for {
			n, from, err := packets.ReadFrom(buf)
			if err != nil {
				return
			}
			packets.WriteTo(buf[:n], from)
		}
	}()
	to := full(packets.LocalAddr().(*net.UDPAddr).AddrPort())
	conn, err := gonet.DialUDP(one.stack, nil, &to, network(guest4))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	for _, size := range []int{0, 1, 1472, 9000, 60000} {
		want := noise(size)
		got := make([]byte, 1<<16)
		if _, err := conn.Write(want); err != nil {
			t.Fatal(err)
		}
		n, err := conn.Read(got)
		if err != nil || string(got[:n]) != string(want) {
			t.Fatalf("%d bytes: %d come back, %v", size, n, err)
		}
	}
	if n := len(openFlows(g)); n != 1 {
		t.Errorf("%d flows for one socket", n)
	}
}
