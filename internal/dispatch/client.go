package dispatch

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"

	"virtumld/internal/driver"
	"virtumld/internal/proto"
	"virtumld/internal/wire"
)

// unopenedPacket is how many bytes a packet may have before the client has
// opened its connection: what authenticates it and opens it is short, and
// whoever can reach a socket could otherwise fill the daemon's memory.
const unopenedPacket = 128 << 10

// client is one connection. Its fields are set once, or used by the reading
// goroutine alone, unless they guard themselves.
type client struct {
	server  *Server
	conn    net.Conn
	log     *slog.Logger
	session session
	reader  *wire.Reader
	writer  *wire.Writer

	// Used by the reading goroutine alone.
	auth            Authentication
	opened          bool
	closeRegistered bool

	alive    *keepalive
	requests *requests
	messages *messages
	streams  streams

	ctx    context.Context // ends with the connection; the context of its calls
	cancel context.CancelFunc
	group  sync.WaitGroup // its goroutines but the reading one
}

func newClient(s *Server, conn net.Conn, peer driver.Peer, readOnly bool) *client {
	c := &client{
		server: s,
		conn:   conn,
		log:    s.options.Log.With("client", peer.PID, "uid", peer.UID),
		reader: wire.NewReader(conn),
		writer: wire.NewWriter(conn),
		auth:   s.options.Authenticate(peer, readOnly),
	}
	c.reader.Limit(unopenedPacket)
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.requests = newRequests(s.options.MaxRequests, &c.group)
	c.messages = newMessages(c.write, func() {
		c.log.Warn("client does not read its events, disconnected")
		c.hangUp()
	}, &c.group)
	c.alive = newKeepalive(s.options.KeepaliveInterval, s.options.KeepaliveCount, c.ping, func() {
		c.log.Info("client does not answer, disconnected")
		c.hangUp()
	})
	c.session = s.connect(peer, readOnly, c)
	return c
}

// serve reads packets until the connection ends, then ends what the client
// had.
func (c *client) serve() {
	defer c.end()
	c.log.Debug("client connected", "readonly", c.session.ReadOnly())
	for {
		header, payload, err := c.reader.Next()
		if err == nil {
			c.alive.heard()
			err = c.packet(header, payload)
		}
		if err != nil {
			c.report(err)
			return
		}
	}
}

// packet handles one packet. An error ends the connection.
func (c *client) packet(h wire.Header, payload []byte) error {
	switch {
	case h.Program == proto.ProgramKeepalive && h.Version == proto.Version && h.Type == wire.Message:
		return c.keepalivePacket(h)
	case h.Type == wire.Call:
		c.call(h, payload)
	case h.Type == wire.CallWithFDs:
		return errors.New("the call passes file descriptors, which was not offered")
	case h.Type == wire.Stream, h.Type == wire.StreamHole:
		return c.streams.packet(h, payload)
	}
	// Other types are a server's to send. Like stream packets behind the
	// end of their stream, they are dropped.
	return nil
}

// report logs why the connection ends, when that is worth a line.
func (c *client) report(err error) {
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
		c.log.Debug("client disconnected")
	default:
		c.log.Info("client disconnected", "error", err)
	}
}

// hangUp ends the connection; the reading goroutine does the rest. It may be
// called from anywhere and does not wait.
func (c *client) hangUp() {
	c.cancel()
	_ = c.conn.Close() // a connection that is closed already is as good
}

// end ends what the client had, its session last: nothing must be added to it
// any more.
func (c *client) end() {
	c.hangUp()
	c.alive.stop()
	c.messages.close()
	c.requests.close()
	c.streams.abort()
	c.group.Wait()
	c.session.Close()
}

// write sends a packet and waits until the system has taken it.
func (c *client) write(packet []byte) error {
	if err := wire.Finish(packet); err != nil {
		return err
	}
	err := c.writer.Write(packet)
	if err != nil {
		c.hangUp()
	}
	return err
}

// send builds and sends a packet around payload.
func (c *client) send(h wire.Header, payload []byte) error {
	buffer := wire.NewBuffer()
	defer buffer.Free()
	buffer.Bytes = append(wire.Begin(buffer.Bytes, h), payload...)
	return c.write(buffer.Bytes)
}
