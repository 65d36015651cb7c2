package usernet

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/link/ethernet"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

// patience is how long a test waits for what must come.
const patience = 2 * time.Minute

const (
	gatewayMAC = "52:54:00:00:00:01"
	guestMAC   = "52:54:00:00:00:02"
)

var (
	gateway4 = netip.MustParseAddr("192.168.77.1")
	gateway6 = netip.MustParseAddr("fd77::1")
	guest4   = netip.MustParseAddr("192.168.77.2")
	guest6   = netip.MustParseAddr("fd77::2")
)

func testConfig() Config {
	return Config{Name: "test", MAC: gatewayMAC, NAT: true, Subnets: []Subnet{
		{Gateway: netip.PrefixFrom(gateway4, 24)}, {Gateway: netip.PrefixFrom(gateway6, 64)}}}
}

// newGateway starts a gateway that ends with the test, which fails when
// anything of it is left then.
func newGateway(t testing.TB, cfg Config) *Gateway {
	t.Helper()
	g, err := New(cfg, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		g.Close()
		noGoroutines(t)
	})
	return g
}

// noGoroutines waits until no goroutine of the gateway or its stack is left.
func noGoroutines(t testing.TB) {
	t.Helper()
	var left string
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if left = gatewayGoroutines(); left == "" {
			return
		}
	}
	t.Errorf("goroutines are left:\n%s", left)
}

// gatewayGoroutines are the stacks of the goroutines that have a line outside
// the tests in this package or in the TCP/IP stack.
func gatewayGoroutines() string {
	dump := make([]byte, 1<<20)
	dump = dump[:runtime.Stack(dump, true)]
	var left []string
	for _, one := range strings.Split(string(dump), "\n\n") {
		for line := range strings.Lines(one) {
			ours := strings.Contains(line, "internal/usernet/") && !strings.Contains(line, "_test.go:")
			if ours || strings.Contains(line, "/gvisor.dev/") {
				left = append(left, one)
				break
			}
		}
	}
	return strings.Join(left, "\n\n")
}

// guest is a second stack on the gateway's link.
type guest struct {
	stack *stack.Stack
	link  io.ReadWriteCloser
	card  *channel.Endpoint
	done  sync.WaitGroup
	stop  context.CancelFunc
	// onFrame sees what the gateway sends.
	onFrame atomic.Pointer[frameHook]
}

type frameHook struct{ see func(frame []byte) }

// newGuest joins a guest with both families' addresses to the gateway.
func newGuest(t testing.TB, g *Gateway) *guest {
	t.Helper()
	one := &guest{link: g.Link()}
	mac, _ := net.ParseMAC(guestMAC)
	mtu := g.view.Load().mtu
	one.card = channel.New(1<<15, uint32(mtu+header.EthernetMinimumSize), tcpip.LinkAddress(mac))
	one.stack = stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{arp.NewProtocol, ipv4.NewProtocol, ipv6.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6},
	})
	if err := tuneTCP(one.stack); err != nil {
		t.Fatal(err)
	}
	if err := one.stack.CreateNIC(nic, ethernet.New(one.card)); err != nil {
		t.Fatal(err)
	}
	one.address(t, guest4, 24)
	one.address(t, guest6, 64)
	one.stack.SetRouteTable([]tcpip.Route{
		{Destination: destination(netip.PrefixFrom(gateway4, 24).Masked()), NIC: nic},
		{Destination: destination(netip.PrefixFrom(gateway6, 64).Masked()), NIC: nic},
		{Destination: header.IPv4EmptySubnet, Gateway: address(gateway4), NIC: nic},
		{Destination: header.IPv6EmptySubnet, Gateway: address(gateway6), NIC: nic},
	})
	one.plug()
	t.Cleanup(func() { one.close() })
	return one
}

func (o *guest) address(t testing.TB, a netip.Addr, bits int) {
	t.Helper()
	p := tcpip.ProtocolAddress{Protocol: network(a), AddressWithPrefix: tcpip.AddressWithPrefix{Address: address(a), PrefixLen: bits}}
	if err := o.stack.AddProtocolAddress(nic, p, stack.AddressProperties{}); err != nil {
		t.Fatal(err)
	}
}

// plug carries frames between the guest's card and the link.
func (o *guest) plug() {
	ctx, cancel := context.WithCancel(context.Background())
	o.stop = cancel
	o.done.Go(func() {
		room := make([][]byte, 16)
		for i := range room {
			room[i] = make([]byte, 1<<17)
		}
		for {
			for i := range room {
				room[i] = room[i][:cap(room[i])]
			}
			n, err := o.link.(*link).ReadFrames(room)
			for _, frame := range room[:n] {
				if hook := o.onFrame.Load(); hook != nil {
					hook.see(frame)
				}
				p := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(frame)})
				o.card.InjectInbound(0, p)
				p.DecRef()
			}
			if err != nil {
				return
			}
		}
	})
	o.done.Go(func() {
		frame := make([]byte, 1<<17)
		for {
			p := o.card.ReadContext(ctx)
			if p == nil {
				return
			}
			n, _ := copyFrame(frame, p)
			p.DecRef()
			o.link.Write(frame[:n])
		}
	})
}

// close ends the guest; its gateway ends with it, since the link is one.
func (o *guest) close() {
	o.link.Close()
	o.stop()
	o.done.Wait()
	o.stack.Destroy()
}

func full(a netip.AddrPort) tcpip.FullAddress {
	return tcpip.FullAddress{NIC: nic, Addr: address(a.Addr()), Port: a.Port()}
}

// dial connects the guest to an address.
func (o *guest) dial(to netip.AddrPort) (*gonet.TCPConn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return gonet.DialContextTCP(ctx, o.stack, full(to), network(to.Addr()))
}

// outsideAddr is an address of the host that is not loopback: what a guest
// reaches as "somebody outside". It is that of the host's first interface with
// one; the tests make no use of it where the host has none.
func outsideAddr(t testing.TB) netip.Addr {
	t.Helper()
	list, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range list {
		p, err := netip.ParsePrefix(a.String())
		if err == nil && p.Addr().Is4() && !special(p.Addr()) {
			return p.Addr()
		}
	}
	t.Skip("the host has no address but loopback")
	return netip.Addr{}
}

// hostListener listens on the host and runs serve for each connection.
func hostListener(t testing.TB, a netip.Addr, serve func(*net.TCPConn)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", netip.AddrPortFrom(a, 0).String())
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
			running.Go(func() {
				defer c.Close()
				serve(c.(*net.TCPConn))
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		running.Wait()
	})
	return l.Addr().(*net.TCPAddr).AddrPort()
}

func echo(c *net.TCPConn) {
	io.Copy(c, c)
	c.CloseWrite()
}

// mustEnd fails the test when f takes too long.
func mustEnd(t testing.TB, what string, f func() error) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	case <-time.After(patience):
		t.Fatalf("%s: takes too long", what)
	}
}

var errDiffers = errors.New("what came back is not what was sent")
