package usernet

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/netip"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// guestConn is the stack's end of a TCP connection with a guest. gVisor's own
// adapter (gonet) can neither abort one nor wait without a buffer at hand.
type guestConn struct {
	endpoint tcpip.Endpoint
	queue    *waiter.Queue
}

// dialGuest connects to a guest as from the address from.
func (g *Gateway) dialGuest(ctx context.Context, from netip.Addr, to netip.AddrPort) (*guestConn, error) {
	c := &guestConn{queue: new(waiter.Queue)}
	var failed tcpip.Error
	if c.endpoint, failed = g.stack.NewEndpoint(tcp.ProtocolNumber, network(to.Addr()), c.queue); failed != nil {
		return nil, errors.New(failed.String())
	}
	entry, connected := waiter.NewChannelEntry(waiter.WritableEvents | waiter.EventErr | waiter.EventHUp)
	c.queue.EventRegister(&entry)
	defer c.queue.EventUnregister(&entry)
	failed = c.endpoint.Bind(tcpip.FullAddress{NIC: nic, Addr: address(from)})
	if failed == nil {
		failed = c.endpoint.Connect(tcpip.FullAddress{NIC: nic, Addr: address(to.Addr()), Port: to.Port()})
	}
	if _, started := failed.(*tcpip.ErrConnectStarted); started {
		select {
		case <-connected:
			failed = c.endpoint.LastError()
		case <-ctx.Done():
			c.endpoint.Abort()
			return nil, ctx.Err()
		}
	}
	if failed != nil {
		c.endpoint.Abort()
		return nil, errors.New(failed.String())
	}
	return c, nil
}

// tune sets what all connections have: small writes are sent at once, and a
// guest that is gone is found out.
func (c *guestConn) tune() {
	options := c.endpoint.SocketOptions()
	options.SetDelayOption(false)
	options.SetKeepAlive(true)
	idle, interval := tcpip.KeepaliveIdleOption(keepAlive.Idle), tcpip.KeepaliveIntervalOption(keepAlive.Interval)
	c.endpoint.SetSockOpt(&idle)
	c.endpoint.SetSockOpt(&interval)
	c.endpoint.SetSockOptInt(tcpip.KeepaliveCountOption, keepAlive.Count)
}

// waitFor calls try until it is done, each time that one of the events has
// come.
func (c *guestConn) waitFor(events waiter.EventMask, try func() (tcpip.Error, bool)) tcpip.Error {
	failed, done := try()
	if done {
		return failed
	}
	entry, notified := waiter.NewChannelEntry(events)
	c.queue.EventRegister(&entry)
	defer c.queue.EventUnregister(&entry)
	for {
		if failed, done = try(); done {
			return failed
		}
		<-notified
	}
}

func wouldBlock(err tcpip.Error) bool {
	_, yes := err.(*tcpip.ErrWouldBlock)
	return yes
}

// read waits for data and reads it into a buffer that it takes from the pool
// only then. The caller puts it back. The error is io.EOF at the end.
func (c *guestConn) read(p *bufferPool) ([]byte, error) {
	var buf []byte
	failed := c.waitFor(waiter.ReadableEvents|waiter.EventErr|waiter.EventHUp, func() (tcpip.Error, bool) {
		whole := p.get()
		w := tcpip.SliceWriter(whole)
		result, err := c.endpoint.Read(&w, tcpip.ReadOptions{})
		if err != nil {
			p.put(whole)
			return err, !wouldBlock(err)
		}
		buf = whole[:result.Count]
		return nil, true
	})
	if failed == nil {
		c.endpoint.ModerateRecvBuf(len(buf))
		return buf, nil
	}
	// The stack tells of a reset once, to whoever asks first; after that it
	// says that there is nothing more.
	if _, end := failed.(*tcpip.ErrClosedForReceive); end && tcp.EndpointState(c.endpoint.State()) != tcp.StateError {
		return nil, io.EOF
	}
	return nil, errors.New(failed.String())
}

// write sends all of data.
func (c *guestConn) write(data []byte) error {
	var source bytes.Reader
	failed := c.waitFor(waiter.WritableEvents|waiter.EventErr|waiter.EventHUp, func() (tcpip.Error, bool) {
		for len(data) > 0 {
			source.Reset(data)
			n, err := c.endpoint.Write(&source, tcpip.WriteOptions{})
			data = data[n:]
			if err != nil {
				return err, !wouldBlock(err)
			}
		}
		return nil, true
	})
	if failed != nil {
		return errors.New(failed.String())
	}
	return nil
}

// closeWrite says that no more is sent.
func (c *guestConn) closeWrite() { c.endpoint.Shutdown(tcpip.ShutdownWrite) }

// abort ends the connection with a reset.
func (c *guestConn) abort() { c.endpoint.Abort() }

// finish closes a connection of which both directions have ended, and waits
// until the guest has taken all that was sent, but not for ever: what it does
// not take is memory of ours.
func (c *guestConn) finish(ctx context.Context, limit time.Duration) {
	entry, ended := waiter.NewChannelEntry(waiter.EventHUp)
	c.queue.EventRegister(&entry)
	defer c.queue.EventUnregister(&entry)
	c.endpoint.Close()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for !c.sentAll() {
		select {
		case <-ended:
		case <-ctx.Done():
			c.abort()
			return
		case <-timer.C:
			c.abort()
			return
		}
	}
}

// sentAll reports whether the guest has everything, the end included.
func (c *guestConn) sentAll() bool {
	switch tcp.EndpointState(c.endpoint.State()) {
	case tcp.StateFinWait1, tcp.StateClosing, tcp.StateLastAck, tcp.StateEstablished, tcp.StateCloseWait:
		return false
	}
	return true
}
