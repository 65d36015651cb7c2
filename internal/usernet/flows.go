package usernet

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// How long a flow is kept without a packet (RFC 4787, REQ-5): one that was
// answered more than once, any other, and a name query.
const (
	flowTimeout    = 3 * time.Minute
	attemptTimeout = 30 * time.Second
	queryTimeout   = 10 * time.Second
	dnsPort        = 53
)

// flowKey tells a flow: a guest's UDP socket, or its echo identifier, and the
// peer outside.
type flowKey struct {
	echo        bool
	guest, peer netip.AddrPort
}

// flows are the guests' UDP flows and pings to outside, each through a
// connected socket of the host, so that the host lets in only what the peer
// sends.
type flows struct {
	gateway *Gateway
	mu      sync.Mutex
	open    map[flowKey]*flow
	closed  bool
}

type flow struct {
	flowKey
	owner    guestKey
	original []byte // the beginning of the first packet, for ICMP
	conn     *net.UDPConn
	raw      syscall.RawConn
	last     atomic.Int64 // when it was used last, in Unix nanoseconds
	answers  atomic.Int64
}

func newFlows(g *Gateway) *flows { return &flows{gateway: g, open: map[flowKey]*flow{}} }

// handleUDP takes the datagrams that no socket of the stack is for; false has
// the stack answer that the port is closed.
func (f *flows) handleUDP(id stack.TransportEndpointID, packet *stack.PacketBuffer) bool {
	from := netip.AddrPortFrom(netAddr(id.RemoteAddress), id.RemotePort)
	to := netip.AddrPortFrom(netAddr(id.LocalAddress), id.LocalPort)
	if to.Port() == dhcpPort4 || to.Port() == dhcpPort6 {
		if f.gateway.services.takeDHCP(from, to, packet) {
			return true
		}
	}
	v := f.gateway.view.Load()
	if v.isGateway(to.Addr()) {
		return false
	}
	if !v.outside(to.Addr()) {
		f.gateway.refuse(quote(packet), prohibited)
		return true
	}
	f.send(flowKey{guest: from, peer: to}, f.gateway.whose(sender(packet)), quote(packet), packet.Data().AsRange().ToSlice())
	return true
}

// send sends a guest's packet through its flow, which is made where there is
// none.
func (f *flows) send(key flowKey, owner guestKey, original, payload []byte) {
	one, err := f.find(key, owner, original)
	if err == nil {
		one.last.Store(time.Now().UnixNano())
		err = one.write(payload)
	}
	if err != nil {
		f.gateway.refuseFor(original, err)
	}
}

// refuseFor tells a guest what the host said of its packet; a full socket
// drops it, as networks do.
func (g *Gateway) refuseFor(original []byte, err error) {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		g.refuse(original, noPort)
	case errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, syscall.EADDRNOTAVAIL):
		g.refuse(original, noRoute)
	case errors.Is(err, syscall.EHOSTUNREACH):
		g.refuse(original, noHost)
	case errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EPERM):
		g.refuse(original, prohibited)
	}
}

// errTooMany is of a guest with too many flows. It is told nothing.
var errTooMany = errors.New("too many flows")

func (f *flows) find(key flowKey, owner guestKey, original []byte) (*flow, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if one := f.open[key]; one != nil {
		return one, nil
	}
	if f.closed {
		return nil, net.ErrClosed
	}
	if !f.gateway.limits.take(owner, flowing) {
		return nil, errTooMany
	}
	one, err := f.make(key, owner, original)
	if err != nil {
		f.gateway.limits.give(owner, flowing)
		return nil, err
	}
	f.open[key] = one
	if !f.gateway.spawn(func() { f.answer(one) }) {
		f.forget(one)
		return nil, net.ErrClosed
	}
	return one, nil
}

func (f *flows) make(key flowKey, owner guestKey, original []byte) (*flow, error) {
	var conn *net.UDPConn
	var err error
	if key.echo {
		conn, err = f.gateway.pings.dial(key.peer.Addr())
	} else {
		conn, err = dialUDP(key.peer)
	}
	if err != nil {
		return nil, err
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		conn.Close()
		return nil, err
	}
	one := &flow{flowKey: key, owner: owner, original: original, conn: conn, raw: raw}
	one.last.Store(time.Now().UnixNano())
	return one, nil
}

// dialUDP makes a socket that talks with one peer. It does not wait.
func dialUDP(to netip.AddrPort) (*net.UDPConn, error) {
	kind := "udp4"
	if to.Addr().Is6() {
		kind = "udp6"
	}
	// Go lets sockets send to broadcast addresses; guests must not.
	dialer := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		var failed error
		err := c.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST, 0) })
		return errors.Join(err, failed)
	}}
	conn, err := dialer.Dial(kind, to.String())
	if err != nil {
		return nil, err
	}
	return conn.(*net.UDPConn), nil
}

// write sends a packet, or drops it where the socket is full.
func (o *flow) write(payload []byte) error {
	var failed error
	err := o.raw.Write(func(fd uintptr) bool {
		failed = unix.Sendto(int(fd), payload, unix.MSG_DONTWAIT, nil)
		return true
	})
	if err != nil {
		return err
	}
	return failed
}

// answer passes on what comes from outside until the flow has been silent for
// long enough.
func (f *flows) answer(one *flow) {
	defer f.remove(one)
	for {
		deadline := time.Unix(0, one.last.Load()).Add(one.timeout())
		one.conn.SetReadDeadline(deadline)
		data, err := readHost(one.raw, buffers)
		switch {
		case err == nil:
			one.last.Store(time.Now().UnixNano())
			one.answers.Add(1)
			f.deliver(one, data)
			buffers.put(data)
		case errors.Is(err, os.ErrDeadlineExceeded):
			if time.Since(time.Unix(0, one.last.Load())) >= one.timeout() {
				return
			}
		case errors.Is(err, net.ErrClosed):
			return
		default:
			f.gateway.refuseFor(one.original, err)
		}
	}
}

func (o *flow) timeout() time.Duration {
	switch {
	case o.answers.Load() > 1:
		return flowTimeout
	case o.peer.Port() == dnsPort && !o.echo:
		return queryTimeout
	}
	return attemptTimeout
}

func (f *flows) deliver(one *flow, payload []byte) {
	if one.echo {
		f.gateway.sendEchoReply(one, payload)
		return
	}
	f.gateway.sendUDP(one.peer, one.guest, payload)
}

func (f *flows) remove(one *flow) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.forget(one)
}

// forget closes a flow; mu is held.
func (f *flows) forget(one *flow) {
	one.conn.Close()
	delete(f.open, one.flowKey)
	f.gateway.limits.give(one.owner, flowing)
}

// close ends all flows; each removes itself.
func (f *flows) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for _, one := range f.open {
		one.conn.Close()
	}
}
