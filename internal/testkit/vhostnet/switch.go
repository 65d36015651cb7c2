// Package vhostnet is a small network behind a vhost-user socket, for tests: a
// switch to which guests' virtio network devices connect, with one host on it
// that answers ARP and pings. It knows nothing of daemons and domains; only
// tests import it.
//
// The protocol is QEMU's (docs/interop/vhost-user.rst), the queues are those
// of virtio 1.2, chapter 2.7 (split virtqueues), and of chapter 5.1.
package vhostnet

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
)

// Switch is a network of virtio devices.
type Switch struct {
	// Host is the address that answers pings.
	Host netip.Addr

	t testing.TB

	mu      sync.Mutex
	devices map[*device]bool
	closed  bool
}

// Kind is what a back end offers.
type Kind bool

const (
	// Plain offers what passt does: no MAC address, no channel for requests
	// of its own.
	Plain Kind = false
	// Full offers both. Its devices have the address MAC.
	Full Kind = true
)

// MAC is the address that a Full back end would give a device.
var MAC = net.HardwareAddr{0x52, 0x54, 0, 0xff, 0xff, 2}

// Listen has s serve devices at a socket, until the end of the test. Everyone
// may connect to it.
func (s *Switch) Listen(t testing.TB, path string, kind Kind) {
	t.Helper()
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	s.t = t
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.accept(listener, kind)
	}()
	t.Cleanup(func() {
		listener.Close()
		s.close()
		<-ended
	})
}

func (s *Switch) accept(listener *net.UnixListener, kind Kind) {
	var wait sync.WaitGroup
	defer wait.Wait()
	for {
		conn, err := listener.AcceptUnix()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				s.t.Errorf("vhostnet: %v", err)
			}
			return
		}
		d := &device{net: s, kind: kind, conn: conn}
		if !s.add(d) {
			conn.Close()
			return
		}
		wait.Go(func() {
			defer s.remove(d)
			if err := d.serve(); err != nil {
				s.t.Errorf("vhostnet: %v", err)
			}
		})
	}
}

func (s *Switch) add(d *device) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.devices == nil {
		s.devices = make(map[*device]bool)
	}
	if !s.closed {
		s.devices[d] = true
	}
	return !s.closed
}

func (s *Switch) remove(d *device) {
	s.mu.Lock()
	delete(s.devices, d)
	s.mu.Unlock()
	d.close()
}

// Disconnect ends all connections, as the end of a back end does.
func (s *Switch) Disconnect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for d := range s.devices {
		d.conn.Close()
	}
}

// close ends all connections, and lets no more begin.
func (s *Switch) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.Disconnect()
}

// forward takes a frame that from has sent to all others, and to the host.
func (s *Switch) forward(from *device, frame []byte) {
	if answer := s.answer(frame); answer != nil {
		from.send(answer)
	}
	s.mu.Lock()
	others := make([]*device, 0, len(s.devices))
	for d := range s.devices {
		if d != from {
			others = append(others, d)
		}
	}
	s.mu.Unlock()
	for _, d := range others {
		d.send(frame)
	}
}
