package usernet

import (
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"

	"virtumld/internal/virerr"
)

// freePort is a TCP port of the host's loopback that was free a moment ago.
func freePort(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// serveGuest has the guest answer at a port with who has connected.
func serveGuest(t *testing.T, one *guest, a netip.Addr, port uint16) {
	t.Helper()
	l, err := gonet.ListenTCP(one.stack, full(netip.AddrPortFrom(a, port)), network(a))
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.Copy(c, io.MultiReader(strings.NewReader(c.RemoteAddr().(*net.TCPAddr).IP.String()+"\n"), c))
			c.Close()
		}
	})
	t.Cleanup(func() {
		l.Shutdown()
		l.Close()
		running.Wait()
	})
}

// ask connects to the host's port, sends a text and returns what comes back.
func ask(at netip.AddrPort, text string) (string, error) {
	c, err := net.Dial("tcp", at.String())
	if err != nil {
		return "", err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	c.Write([]byte(text))
	c.(*net.TCPConn).CloseWrite()
	back, err := io.ReadAll(c)
	return string(back), err
}

func TestForwardTCP(t *testing.T) {
	for _, target := range []netip.AddrPort{
		netip.AddrPortFrom(guest4, 80), netip.AddrPortFrom(guest6, 80), netip.AddrPortFrom(netip.IPv4Unspecified(), 80), netip.AddrPortFrom(netip.Addr{}, 80),
	} {
		t.Run(target.Addr().String(), func(t *testing.T) {
			cfg := testConfig()
			cfg.NAT = false
			listen := freePort(t)
			cfg.Forwards = []Forward{{Protocol: "tcp", Listen: listen, Target: target}}
			one := newGuest(t, newGateway(t, cfg))
			gateway := gateway4
			if target.Addr() == guest6 {
				gateway = gateway6
				serveGuest(t, one, guest6, 80)
			} else {
				serveGuest(t, one, guest4, 80)
			}
			if !target.Addr().IsValid() || target.Addr().IsUnspecified() {
				if err := one.ping(gateway4, 1); err != nil { // now the guest was seen
					t.Fatal(err)
				}
			}
			back, err := ask(listen, "hello")
			if want := gateway.String() + "\nhello"; err != nil || back != want {
				t.Errorf("through the forward comes %q, %v; want %q", back, err, want)
			}
		})
	}
}

func TestForwardUDP(t *testing.T) {
	cfg := testConfig()
	listen := freePort(t)
	cfg.Forwards = []Forward{{Protocol: "udp", Listen: listen, Target: netip.AddrPortFrom(guest4, 99)}}
	one := newGuest(t, newGateway(t, cfg))
	at := full(netip.AddrPortFrom(guest4, 99))
	server, err := gonet.DialUDP(one.stack, &at, nil, network(guest4))
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		buf := make([]byte, 1<<16)
		for {
			n, from, err := server.ReadFrom(buf)
			if err != nil {
				return
			}
			server.WriteTo(append([]byte(from.(*net.UDPAddr).IP.String()+" "), buf[:n]...), from)
		}
	}()
	for _, text := range []string{"one", "two"} { // two clients
		c, err := net.Dial("udp", listen.String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(patience))
		c.Write([]byte(text))
		buf := make([]byte, 100)
		n, err := c.Read(buf)
		if want := gateway4.String() + " " + text; err != nil || string(buf[:n]) != want {
			t.Errorf("comes back %q, %v; want %q", buf[:n], err, want)
		}
	}
}

func TestForwardsThatCannotBe(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	busy := l.Addr().(*net.TCPAddr).AddrPort()
	target := netip.AddrPortFrom(guest4, 80)
	for _, test := range []struct {
		name    string
		forward Forward
		code    libvirt.ErrorNumber
		text    string
	}{
		{"in use", Forward{Protocol: "tcp", Listen: busy, Target: target}, libvirt.ErrOperationFailed, "listens there already"},
		{"no such address", Forward{Protocol: "tcp", Listen: netip.MustParseAddrPort("198.51.100.77:8080"), Target: target}, libvirt.ErrOperationFailed, "does not have this address"},
		{"no such device", Forward{Protocol: "udp", Listen: netip.MustParseAddrPort("127.0.0.1:8080"), Device: "nodev7", Target: target}, libvirt.ErrOperationFailed, "nodev7"},
		{"protocol", Forward{Protocol: "sctp", Listen: busy, Target: target}, libvirt.ErrConfigUnsupported, "tcp or udp"},
		{"port 0", Forward{Protocol: "tcp", Listen: netip.MustParseAddrPort("127.0.0.1:0"), Target: target}, libvirt.ErrConfigUnsupported, "port"},
		{"to the host", Forward{Protocol: "tcp", Listen: freePort(t), Target: netip.MustParseAddrPort("127.0.0.1:80")}, libvirt.ErrConfigUnsupported, "not a guest's"},
		{"to the gateway", Forward{Protocol: "tcp", Listen: freePort(t), Target: netip.AddrPortFrom(gateway4, 80)}, libvirt.ErrConfigUnsupported, "not a guest's"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := testConfig()
			cfg.Forwards = []Forward{test.forward}
			g, err := New(cfg, t.Logf)
			if err == nil {
				g.Close()
				t.Fatal("it is taken")
			}
			if !virerr.Is(err, test.code) || !strings.Contains(err.Error(), test.text) || !strings.Contains(err.Error(), "<portForward proto=") {
				t.Errorf("the error is %v", err)
			}
			noGoroutines(t)
		})
	}
}

// TestConfigureKeepsConnections: forwards come and go, and a connection that
// is there goes on.
func TestConfigureKeepsConnections(t *testing.T) {
	cfg := testConfig()
	first, second := freePort(t), freePort(t)
	target := netip.AddrPortFrom(guest4, 80)
	cfg.Forwards = []Forward{{Protocol: "tcp", Listen: first, Target: target}}
	g := newGateway(t, cfg)
	one := newGuest(t, g)
	serveGuest(t, one, guest4, 80)
	out, err := one.dial(hostListener(t, outsideAddr(t), echo))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Forwards = []Forward{{Protocol: "tcp", Listen: second, Target: target}}
	if err := g.Configure(cfg); err != nil {
		t.Fatal(err)
	}
	if _, err := ask(first, "x"); err == nil {
		t.Error("the old port is open")
	}
	if back, err := ask(second, "x"); err != nil || !strings.HasSuffix(back, "x") {
		t.Errorf("the new port gives %q, %v", back, err)
	}
	// One that cannot be leaves all as it was.
	l, err := net.Listen("tcp", first.String())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	bad := cfg
	bad.Forwards = []Forward{{Protocol: "tcp", Listen: first, Target: target}}
	if err := g.Configure(bad); !virerr.Is(err, libvirt.ErrOperationFailed) {
		t.Errorf("a port in use: %v", err)
	}
	if back, err := ask(second, "y"); err != nil || !strings.HasSuffix(back, "y") {
		t.Errorf("after a failed change the port gives %q, %v", back, err)
	}
	if err := sameBack(out, "still there"); err != nil {
		t.Errorf("the connection that was there: %v", err)
	}
}

func TestNeighbours(t *testing.T) {
	g := newGateway(t, testConfig())
	one := newGuest(t, g)
	for _, a := range []netip.Addr{gateway4, gateway6} {
		if err := one.ping(a, 1); err != nil {
			t.Fatal(err)
		}
	}
	var four, six bool
	for _, n := range g.Neighbours() {
		if n.MAC != guestMAC {
			t.Errorf("an unknown neighbour %v", n)
		}
		four = four || n.Address == guest4 && n.Prefix == 24
		six = six || n.Address == guest6 && n.Prefix == 64
	}
	if !four || !six {
		t.Errorf("the neighbours are %v", g.Neighbours())
	}
}
