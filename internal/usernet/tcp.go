package usernet

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// dialLimit is how long the host is given to connect: less than the two
// minutes of Linux guests, so that they learn the cause.
const dialLimit = 75 * time.Second

// tcpNAT connects what guests connect to outside: the host's connection first,
// so that a guest whose peer refuses is refused too.
type tcpNAT struct {
	gateway   *Gateway
	forwarder *tcp.Forwarder

	mu sync.Mutex
	// pending are connections that are being made.
	pending map[stack.TransportEndpointID]attempt
	relays  map[*relay]struct{}
	closed  bool
}

// attempt is what is known of a connection that is being made.
type attempt struct {
	guest guestKey
	syn   []byte // its beginning, for ICMP
}

func newTCPNAT(g *Gateway) *tcpNAT {
	return &tcpNAT{gateway: g, pending: map[stack.TransportEndpointID]attempt{}, relays: map[*relay]struct{}{}}
}

// handle takes the packets that belong to no connection; false has the stack
// answer them with a reset.
func (n *tcpNAT) handle(id stack.TransportEndpointID, packet *stack.PacketBuffer) bool {
	flags := header.TCP(packet.TransportHeader().Slice()).Flags()
	to := netAddr(id.LocalAddress)
	if flags&(header.TCPFlagSyn|header.TCPFlagAck|header.TCPFlagRst) != header.TCPFlagSyn || n.gateway.view.Load().isGateway(to) {
		return false
	}
	if !n.gateway.view.Load().outside(to) {
		n.gateway.refuse(quote(packet), prohibited)
		return true
	}
	if !n.begin(id, attempt{guest: n.gateway.whose(sender(packet)), syn: quote(packet)}) {
		return true // as a host with a full backlog
	}
	if !n.forwarderOf().HandlePacket(id, packet) {
		n.end(id)
		return false
	}
	return true
}

// forwarderOf makes the forwarder with the first packet, since it needs the
// stack. Its own bound is beyond ours, so that it never ignores what begin has
// let pass.
func (n *tcpNAT) forwarderOf() *tcp.Forwarder {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.forwarder == nil {
		n.forwarder = tcp.NewForwarder(n.gateway.stack, 0, 4*overall[halfOpen], n.connect)
	}
	return n.forwarder
}

// begin counts an attempt, or reports false: it is under way already, or there
// are too many.
func (n *tcpNAT) begin(id stack.TransportEndpointID, a attempt) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, known := n.pending[id]; known || n.closed || !n.gateway.limits.take(a.guest, halfOpen) {
		return false
	}
	n.pending[id] = a
	return true
}

func (n *tcpNAT) end(id stack.TransportEndpointID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if a, ok := n.pending[id]; ok {
		delete(n.pending, id)
		n.gateway.limits.give(a.guest, halfOpen)
	}
}

// connect answers one request; the forwarder runs it in a goroutine of its own.
func (n *tcpNAT) connect(request *tcp.ForwarderRequest) {
	id := request.ID()
	done := make(chan struct{})
	work := func() {
		defer close(done)
		n.serve(request, id)
	}
	if !n.gateway.spawn(work) {
		request.Complete(false)
		n.end(id)
		return
	}
	<-done
}

func (n *tcpNAT) serve(request *tcp.ForwarderRequest, id stack.TransportEndpointID) {
	n.mu.Lock()
	a := n.pending[id]
	n.mu.Unlock()
	if !n.gateway.limits.take(a.guest, connection) {
		request.Complete(false)
		n.end(id)
		return
	}
	defer n.gateway.limits.give(a.guest, connection)
	host, err := dialHost(n.gateway.ctx, netip.AddrPortFrom(netAddr(id.LocalAddress), id.LocalPort))
	if err != nil {
		n.fail(request, a, err)
		n.end(id)
		return
	}
	queue := new(waiter.Queue)
	endpoint, failed := request.CreateEndpoint(queue)
	request.Complete(false)
	n.end(id)
	if failed != nil {
		reset(host)
		return
	}
	n.run(newRelay(host, &guestConn{endpoint: endpoint, queue: queue}))
}

// fail tells the guest why the host could not connect.
func (n *tcpNAT) fail(request *tcp.ForwarderRequest, a attempt, err error) {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET):
		request.Complete(true)
		return
	case errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, syscall.EADDRNOTAVAIL):
		n.gateway.refuse(a.syn, noRoute)
	case errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EPERM):
		n.gateway.refuse(a.syn, prohibited)
	case errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE):
		n.gateway.log("a guest's connection is not made: %v", err)
	default:
		n.gateway.refuse(a.syn, noHost)
	}
	request.Complete(false)
}

// run carries a connection until it has ended, or the gateway does.
func (n *tcpNAT) run(r *relay) {
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		r.abort()
		return
	}
	n.relays[r] = struct{}{}
	n.mu.Unlock()
	r.run()
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.relays, r)
}

// close ends all connections.
func (n *tcpNAT) close() {
	n.mu.Lock()
	n.closed = true
	relays := make([]*relay, 0, len(n.relays))
	for r := range n.relays {
		relays = append(relays, r)
	}
	n.mu.Unlock()
	for _, r := range relays {
		r.abort()
	}
}

// keepAlive finds out that a peer is gone, in twenty minutes.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 10 * time.Minute, Interval: time.Minute, Count: 9}

// dialHost connects to somebody outside.
func dialHost(ctx context.Context, to netip.AddrPort) (*net.TCPConn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	dialer := net.Dialer{KeepAliveConfig: keepAlive}
	// One fixed family: an address is never dialled as another.
	kind := "tcp4"
	if to.Addr().Is6() {
		kind = "tcp6"
	}
	conn, err := dialer.DialContext(ctx, kind, to.String())
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}

// reset closes a connection so that its peer sees that it failed.
func reset(c *net.TCPConn) {
	c.SetLinger(0)
	c.Close()
}
