package netd

import (
	"context"
	"os"
	"sync/atomic"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"
)

// Plug is a guest's interface that is joined to a network.
type Plug struct {
	conn   *channel
	done   chan struct{}
	closed atomic.Bool
}

// PlugIn joins a guest's interface to the network of the folder dir. conn is
// the guest's connection, a SOCK_SEQPACKET socket that carries a frame a
// packet. The caller keeps its own copy of conn, so that the guest does not
// see the end when the network's process dies, and can plug it in again. A
// port of the same ID that is plugged in already is pulled.
func PlugIn(ctx context.Context, dir string, port Port, conn *os.File) (*Plug, error) {
	c, err := open(ctx, dir, request{Command: cmdPlug, Port: &port}, conn)
	if err != nil {
		return nil, err
	}
	p := &Plug{conn: c, done: make(chan struct{})}
	go p.watch()
	return p, nil
}

// open makes a connection for one request that lasts as long as it.
func open(ctx context.Context, dir string, r request, file *os.File) (*channel, error) {
	c, err := connect(ctx, dir)
	if err != nil {
		return nil, err
	}
	answer, err := c.ask(ctx, r, file)
	if err == nil {
		err = answer.Error.error()
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (p *Plug) watch() {
	defer close(p.done)
	defer p.conn.Close()
	for {
		var news report
		if discard(p.conn.receive(&news)) != nil {
			return
		}
		if news.GuestClosed {
			p.closed.Store(true)
			return
		}
	}
}

// Done is closed when the plug has come out: the guest has closed its end
// (GuestClosed then says true), or the network's process has ended.
func (p *Plug) Done() <-chan struct{} { return p.done }

// GuestClosed reports whether the guest has closed its end.
func (p *Plug) GuestClosed() bool { return p.closed.Load() }

// Close pulls the plug.
func (p *Plug) Close() error {
	_ = p.conn.CloseWrite() // it may be out already
	// The process answers by the end, once the port is out.
	_ = p.conn.SetReadDeadline(time.Now().Add(stopTime))
	<-p.done
	return nil
}

// Capture writes what passes through a port, or with "" through the whole
// network, into file as pcapng until ctx ends, which is no error, or the file
// takes no more, which is one. Of the whole network each frame is there once,
// as it came in; of a port, both what it sent and what it was sent.
func (c *Client) Capture(ctx context.Context, port string, file *os.File) error {
	conn, err := open(ctx, c.dir, request{Command: cmdCapture, PortID: port}, file)
	if ctx.Err() != nil && err != nil {
		return nil
	}
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() {
		_ = conn.CloseWrite()
		_ = conn.SetReadDeadline(time.Now().Add(stopTime)) // to write the rest
	})
	defer stop()
	var news report
	err = discard(conn.receive(&news))
	switch {
	case err == nil:
		return news.Error.error()
	case ctx.Err() != nil:
		return nil
	default:
		return failed(libvirt.ErrOperationFailed, "the network's process has ended: %w", err)
	}
}
