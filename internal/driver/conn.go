// Package driver is libvirt's meaning: each remote procedure as a method, its
// flags checked first, its errors libvirt's own. It knows domains, storage
// pools and the host, but neither sockets nor packets; package dispatch calls it.
package driver

import (
	"context"
	"strings"
	"sync"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/virerr"
)

// Peer is who is at the other end of a connection.
type Peer struct {
	PID int32
	UID uint32
	GID uint32
}

// Notifier carries messages to one client. Notify queues message under the
// remote program's procedure number and returns at once; a client that does
// not read its queue is disconnected, so nothing is ever lost quietly.
type Notifier interface {
	Notify(procedure int32, message any)
}

// Conn is one client's connection: what it may do and what it registered.
type Conn struct {
	driver *Driver
	peer   Peer
	notify Notifier

	readOnly bool // the socket's own, or asked for at open

	subscribed  sync.Once
	unsubscribe func() // nil before the first registration of an event

	mu     sync.Mutex // guards: events; taken after the bus's lock
	events registrations

	poolEvents    callbacks
	networkEvents callbacks
}

// NewConn makes the state of a new client. readOnly is true on the read-only
// socket.
func (d *Driver) NewConn(peer Peer, readOnly bool, notify Notifier) *Conn {
	return &Conn{driver: d, peer: peer, readOnly: readOnly, notify: notify}
}

// ReadOnly reports whether the client may only look.
func (c *Conn) ReadOnly() bool { return c.readOnly }

// openReadOnly is the one bit of the open call's flags that means something
// to a server; the others are the client library's own (src/remote/remote_driver.c).
const openReadOnly = 1

// Open opens the hypervisor connection that uri names. The client library has
// taken transport and host out of it; an empty one means this driver.
func (c *Conn) Open(uri string, flags libvirt.ConnectFlags) error {
	if err := c.driver.checkURI(uri); err != nil {
		return err
	}
	if flags&openReadOnly != 0 {
		c.readOnly = true
	}
	return nil
}

func (d *Driver) checkURI(uri string) error {
	if uri == "" {
		return nil
	}
	path, ours := strings.CutPrefix(uri, "uml://")
	if !ours {
		return virerr.New(libvirt.ErrNoConnect, "URI '%s'", uri)
	}
	path, _, _ = strings.Cut(path, "?")
	want := "/session"
	if d.paths.System {
		want = "/system"
	}
	// A client that is root reaches the system socket whatever its URI says,
	// so the system instance takes /session too, as the QEMU driver does.
	if path == want || d.paths.System && path == "/session" {
		return nil
	}
	return virerr.In(virerr.UML, libvirt.ErrInternalError,
		"unexpected uml URI path '%s', try uml://%s", path, want)
}

// Close ends what the client held: event callbacks and autodestroy guests.
// Dispatch aborts its streams before.
func (c *Conn) Close() {
	c.dropEvents()
	c.poolEvents.drop()
	c.networkEvents.drop()
	c.driver.domains.DestroyOwned(context.Background(), c)
}
