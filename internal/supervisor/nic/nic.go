package nic

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"sync"
	"time"

	"virtumld/internal/netd"
)

// plugTime bounds a try to plug in.
const plugTime = 10 * time.Second

// nic is one interface at work. Its loop accepts one connection after another
// and keeps each plugged in until the guest closes it.
type nic struct {
	networks Networks
	log      func(format string, args ...any)
	uid      int
	path     string
	listener *net.UnixListener
	cancel   context.CancelFunc
	ended    chan struct{}

	mu     sync.Mutex
	target target
}

// target is where a nic is to be plugged in.
type target struct {
	Interface
	// own is set when the network is.
	own *own
	// changed is closed when there is another network.
	changed chan struct{}
}

func (t *target) watch() (again <-chan struct{}, stop func()) {
	if t.own != nil {
		return t.own.watch()
	}
	return folder(t.Network).watch()
}

func (n *nic) present() target {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.target
}

// port are the port's newest settings: they change without another network.
func (n *nic) port() netd.Port {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.target.Port
}

// run accepts the guest's connections until the listener is closed.
func (n *nic) run(ctx context.Context) {
	defer close(n.ended)
	for {
		conn, err := n.listener.AcceptUnix()
		if err != nil {
			return
		}
		if !isPeer(conn, n.uid) {
			n.log("%s: refused a connection that is not the guest's", n.path)
			conn.Close()
			continue
		}
		c, err := newCable(conn)
		if err != nil {
			n.log("%s: cannot keep a connection: %v", n.path, err)
			continue
		}
		n.serve(ctx, c)
		c.close()
	}
}

// serve keeps one connection plugged in until the guest closes it.
func (n *nic) serve(ctx context.Context, c *cable) {
	for ctx.Err() == nil {
		where := n.present()
		plug := n.plugIn(ctx, where, c)
		if plug == nil {
			var over bool
			if plug, over = n.await(ctx, where, c); over {
				return
			}
		}
		if plug != nil && n.plugged(ctx, where, plug) {
			return
		}
	}
}

// plugged returns when the plug has come out, and reports whether the guest
// has closed its end.
func (n *nic) plugged(ctx context.Context, where target, plug Plug) bool {
	defer plug.Close()
	select {
	case <-plug.Done():
		return plug.GuestClosed()
	case <-where.changed:
		return false
	case <-ctx.Done():
		return false
	}
}

// plugIn tries once; nil says that the network cannot be reached.
func (n *nic) plugIn(ctx context.Context, where target, c *cable) Plug {
	ctx, cancel := context.WithTimeout(ctx, plugTime)
	defer cancel()
	file, err := c.copy()
	if err != nil {
		return nil
	}
	defer file.Close()
	plug, err := n.networks.PlugIn(ctx, where.Dir(), n.port(), file)
	if err == nil {
		return plug
	}
	if !errors.Is(err, fs.ErrNotExist) && ctx.Err() == nil {
		n.log("%s: cannot plug in: %v", n.path, err)
	}
	return nil
}

// await waits until the network may be there again, or is another one, and
// throws away what the guest sends. It returns a plug when it finds the network
// there before it has to wait; over says that the guest has closed its end.
func (n *nic) await(ctx context.Context, where target, c *cable) (plug Plug, over bool) {
	again, stop := where.watch()
	defer stop()
	// It may have come since the last try.
	if plug := n.plugIn(ctx, where, c); plug != nil {
		return plug, false
	}
	d, err := startDrain(c)
	if err != nil {
		n.log("%s: cannot wait for its network: %v", n.path, err)
		return nil, true
	}
	defer d.stop()
	select {
	case <-again:
	case <-where.changed:
	case <-d.closed:
		return nil, true
	case <-ctx.Done():
	}
	return nil, false
}
