package usernet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"
	"golang.org/x/sys/unix"

	"virtumld/internal/virerr"
)

// guestDialLimit is how long a guest is given to take a forwarded connection.
const guestDialLimit = 30 * time.Second

// forwardKey is where a forward listens.
type forwardKey struct {
	protocol string
	listen   netip.AddrPort
	device   string
}

// forwards are the ports of the host that lead to guests.
type forwards struct {
	gateway *Gateway
	mu      sync.Mutex
	open    map[forwardKey]*forward
}

// forward is one open port. Its target may be changed.
type forward struct {
	forwardKey
	gateway *Gateway
	target  atomic.Pointer[netip.AddrPort]
	socket  io.Closer
}

func keyOf(f Forward) forwardKey { return forwardKey{f.Protocol, f.Listen, f.Device} }

// configure opens and closes ports so that those of list are open. When it
// fails those are open that were before.
func (f *forwards) configure(list []Forward) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	wanted := map[forwardKey]netip.AddrPort{}
	for _, one := range list {
		if err := f.gateway.checkForward(one); err != nil {
			return err
		}
		if _, twice := wanted[keyOf(one)]; twice {
			return unsupported("%s is there twice", describe(keyOf(one)))
		}
		wanted[keyOf(one)] = one.Target
	}
	closed := f.closeUnwanted(wanted)
	opened, err := f.openMissing(wanted)
	if err != nil {
		f.undo(opened, closed)
		return err
	}
	for key, target := range wanted {
		f.open[key].target.Store(&target)
	}
	return nil
}

// closeUnwanted closes the ports that are not wanted, first of all, since a
// wanted one may be theirs in part.
func (f *forwards) closeUnwanted(wanted map[forwardKey]netip.AddrPort) []*forward {
	var closed []*forward
	for key, one := range f.open {
		if _, keep := wanted[key]; !keep {
			one.socket.Close()
			delete(f.open, key)
			closed = append(closed, one)
		}
	}
	return closed
}

func (f *forwards) openMissing(wanted map[forwardKey]netip.AddrPort) ([]*forward, error) {
	var opened []*forward
	for key, target := range wanted {
		if f.open[key] != nil {
			continue
		}
		one, err := f.gateway.openForward(key, target)
		if err != nil {
			return opened, err
		}
		f.open[key] = one
		opened = append(opened, one)
	}
	return opened, nil
}

func (f *forwards) undo(opened, closed []*forward) {
	for _, one := range opened {
		one.socket.Close()
		delete(f.open, one.forwardKey)
	}
	for _, one := range closed {
		again, err := f.gateway.openForward(one.forwardKey, *one.target.Load())
		if err != nil {
			f.gateway.log("%s cannot be opened again: %v", describe(one.forwardKey), err)
			continue
		}
		f.open[one.forwardKey] = again
	}
}

func (f *forwards) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closeUnwanted(nil)
}

// checkForward refuses what cannot be meant.
func (g *Gateway) checkForward(f Forward) error {
	what := describe(keyOf(f))
	target := f.Target.Addr()
	switch {
	case f.Protocol != "tcp" && f.Protocol != "udp":
		return unsupported("%s: the protocol must be tcp or udp", what)
	case f.Listen.Port() == 0 || f.Target.Port() == 0:
		return unsupported("%s: the port must be from 1 to 65535", what)
	case target.IsValid() && !target.IsUnspecified() && !g.view.Load().isGuest(target):
		return unsupported("%s: the target %v is not a guest's address in this network", what, target)
	}
	return nil
}

// describe names a forward as the document does.
func describe(k forwardKey) string {
	text := fmt.Sprintf("<portForward proto='%s'", k.protocol)
	if k.listen.Addr().IsValid() {
		text += fmt.Sprintf(" address='%v'", k.listen.Addr())
	}
	if k.device != "" {
		text += fmt.Sprintf(" dev='%s'", k.device)
	}
	return text + fmt.Sprintf("> of port %d", k.listen.Port())
}

// openForward opens a port of the host.
func (g *Gateway) openForward(key forwardKey, target netip.AddrPort) (*forward, error) {
	f := &forward{forwardKey: key, gateway: g}
	f.target.Store(&target)
	config := net.ListenConfig{Control: key.control}
	at := net.JoinHostPort(hostOf(key.listen.Addr()), strconv.Itoa(int(key.listen.Port())))
	if key.protocol == "udp" {
		socket, err := config.ListenPacket(g.ctx, "udp"+familyOf(key.listen.Addr()), at)
		if err != nil {
			return nil, key.failed(err)
		}
		conn := socket.(*net.UDPConn)
		f.socket = conn
		g.spawn(func() { newUDPForward(f, conn).serve() })
		return f, nil
	}
	listener, err := config.Listen(g.ctx, "tcp"+familyOf(key.listen.Addr()), at)
	if err != nil {
		return nil, key.failed(err)
	}
	f.socket = listener
	g.spawn(func() { f.accept(listener.(*net.TCPListener)) })
	return f, nil
}

// hostOf is the address to listen at as package net has it, "" for all.
func hostOf(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// familyOf is the suffix of the network's name: a given address is of its own
// family only.
func familyOf(a netip.Addr) string {
	switch {
	case !a.IsValid():
		return ""
	case a.Is4():
		return "4"
	}
	return "6"
}

// control binds the socket to the device.
func (k forwardKey) control(_, _ string, c syscall.RawConn) error {
	if k.device == "" {
		return nil
	}
	var failed error
	err := c.Control(func(fd uintptr) { failed = unix.BindToDevice(int(fd), k.device) })
	if failed != nil {
		failed = deviceError{failed}
	}
	return errors.Join(err, failed)
}

// deviceError is the host's refusal to bind to a device.
type deviceError struct{ error }

func (e deviceError) Unwrap() error { return e.error }

// failed says why the port cannot be had.
func (k forwardKey) failed(err error) error {
	why := "%w"
	var device deviceError
	switch {
	case errors.As(err, &device) && errors.Is(err, syscall.ENODEV):
		why = "the host has no such device (%w)"
	case errors.As(err, &device):
		why = "the device cannot be chosen (%w)"
	case errors.Is(err, syscall.EADDRINUSE):
		why = "something on the host listens there already (%w): choose another port, or end that"
	case errors.Is(err, syscall.EACCES):
		why = "ports below net.ipv4.ip_unprivileged_port_start need privileges (%w): choose a higher one"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		why = "the host does not have this address (%w)"
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		err = errno
	}
	why = strings.ReplaceAll(describe(k), "%", "%%") + " cannot be opened: " + why
	return virerr.In(virerr.Network, libvirt.ErrOperationFailed, why, err)
}

// accept takes connections until the port is closed.
func (f *forward) accept(listener *net.TCPListener) {
	for {
		host, err := listener.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			f.gateway.log("%s: %v", describe(f.forwardKey), err)
			select {
			case <-time.After(time.Second): // out of files: some will end
				continue
			case <-f.gateway.ctx.Done():
				return
			}
		}
		if !f.gateway.limits.take("", connection) || !f.gateway.spawn(func() { f.carry(host) }) {
			reset(host)
		}
	}
}

// carry joins a connection from outside with one to the guest. The guest sees
// it come from the gateway.
func (f *forward) carry(host *net.TCPConn) {
	g := f.gateway
	defer g.limits.give("", connection)
	host.SetKeepAliveConfig(keepAlive)
	from, to, ok := g.resolve(*f.target.Load())
	if !ok {
		g.log("%s: no guest is known yet", describe(f.forwardKey))
		reset(host)
		return
	}
	ctx, cancel := context.WithTimeout(g.ctx, guestDialLimit)
	defer cancel()
	guest, err := g.dialGuest(ctx, from, to)
	if err != nil {
		reset(host)
		return
	}
	g.tcp.run(newRelay(host, guest))
}

// resolve is where a forward leads at the moment, and the gateway's address in
// that subnet; false says that no guest is known.
func (g *Gateway) resolve(target netip.AddrPort) (from netip.Addr, to netip.AddrPort, ok bool) {
	v := g.view.Load()
	a := target.Addr()
	if !a.IsValid() || a.IsUnspecified() {
		a = g.onlyGuest(v, a)
	}
	if !v.isGuest(a) {
		return netip.Addr{}, netip.AddrPort{}, false
	}
	return v.subnetOf(a).gateway, netip.AddrPortFrom(a, target.Port()), true
}

// onlyGuest is the address of the one guest of a private network: the one that
// it has used last, or that of its newest lease. like is unspecified, in the
// family that is wanted, or invalid for IPv4 before IPv6.
func (g *Gateway) onlyGuest(v *view, like netip.Addr) netip.Addr {
	if !like.IsValid() {
		if a := g.onlyGuest(v, netip.IPv4Unspecified()); a.IsValid() {
			return a
		}
		like = netip.IPv6Unspecified()
	}
	fits := func(a netip.Addr) bool { return a.Is4() == like.Is4() && v.isGuest(a) }
	if a := g.neighbours.latest(fits); a.IsValid() {
		return a
	}
	var best Lease
	for _, l := range g.Leases() {
		if fits(l.Address) && (!best.Address.IsValid() || l.Expires.After(best.Expires)) {
			best = l
		}
	}
	return best.Address
}
