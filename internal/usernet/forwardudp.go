package usernet

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
)

// maxClients bounds the clients of one forwarded UDP port.
const maxClients = 1024

// udpForward carries the datagrams of one port of the host: each client gets a
// port of the gateway of its own, so that the guest can tell them apart.
type udpForward struct {
	*forward
	conn *net.UDPConn

	mu      sync.Mutex
	clients map[netip.AddrPort]*udpClient
}

type udpClient struct {
	address netip.AddrPort
	target  netip.AddrPort
	guest   *gonet.UDPConn
}

func newUDPForward(f *forward, conn *net.UDPConn) *udpForward {
	return &udpForward{forward: f, conn: conn, clients: map[netip.AddrPort]*udpClient{}}
}

// serve takes datagrams until the port is closed.
func (f *udpForward) serve() {
	defer f.closeAll()
	buf := make([]byte, 1<<16)
	for {
		n, from, err := f.conn.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // what an earlier answer met
		}
		if c := f.client(from); c != nil {
			c.guest.Write(buf[:n])
		}
	}
}

// client is the client's way to the guest, made where there is none, or where
// the guest has another address now.
func (f *udpForward) client(from netip.AddrPort) *udpClient {
	gateway, to, ok := f.gateway.resolve(*f.target.Load())
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.clients[from]
	if !ok || c != nil && c.target != to {
		f.forget(c)
		c = nil
	}
	if !ok || c != nil {
		return c
	}
	if len(f.clients) >= maxClients {
		return nil
	}
	local := tcpip.FullAddress{NIC: nic, Addr: address(gateway)}
	remote := tcpip.FullAddress{NIC: nic, Addr: address(to.Addr()), Port: to.Port()}
	guest, err := gonet.DialUDP(f.gateway.stack, &local, &remote, network(to.Addr()))
	if err != nil {
		f.gateway.log("%s: %v", describe(f.forwardKey), err)
		return nil
	}
	c = &udpClient{address: from, target: to, guest: guest}
	guest.SetReadDeadline(time.Now().Add(flowTimeout))
	f.clients[from] = c
	if !f.gateway.spawn(func() { f.answer(c) }) {
		f.forget(c)
		return nil
	}
	return c
}

// answer passes the guest's datagrams on to the client until it has been
// silent for long enough.
func (f *udpForward) answer(c *udpClient) {
	defer f.drop(c)
	buf := make([]byte, 1<<16)
	for {
		n, err := c.guest.Read(buf)
		if err != nil {
			return
		}
		c.guest.SetReadDeadline(time.Now().Add(flowTimeout))
		f.conn.SetWriteDeadline(time.Now().Add(time.Second))
		if _, err := f.conn.WriteToUDPAddrPort(buf[:n], c.address); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
	}
}

func (f *udpForward) drop(c *udpClient) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.forget(c)
}

// forget closes a client's way; mu is held.
func (f *udpForward) forget(c *udpClient) {
	if c == nil {
		return
	}
	c.guest.Close()
	if f.clients[c.address] == c {
		delete(f.clients, c.address)
	}
}

func (f *udpForward) closeAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.clients {
		f.forget(c)
	}
}
