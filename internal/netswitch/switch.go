package netswitch

import (
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// ErrClosed says that the switch is closed.
var ErrClosed = errors.New("the switch is closed")

// Switch joins ports. Frames find their way through it without a lock: what
// they look at (the ports, the addresses, the taps) is replaced as a whole when
// it changes.
type Switch struct {
	ports     atomic.Pointer[[]*Port]
	taps      atomic.Pointer[[]*tap]
	addresses addressTable
	// forbidden is nil until Forbid.
	forbidden atomic.Pointer[func(frame []byte) bool]

	// mu guards changes of ports and taps.
	mu     sync.Mutex
	closed bool
}

// New returns a switch without ports.
func New() *Switch {
	s := &Switch{}
	s.ports.Store(&[]*Port{})
	s.addresses.init()
	return s
}

// Attach plugs a device in. The port owns conn from now on, also when Attach
// fails with ErrClosed. Write may be called by several goroutines at once when
// conn is a BatchWriter, else by one after the other.
func (s *Switch) Attach(config PortConfig, conn Conn) (*Port, error) {
	p := newPort(s, config, conn)
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		conn.Close()
		return nil, ErrClosed
	}
	ports := append(slices.Clip(*s.ports.Load()), p)
	s.ports.Store(&ports)
	s.mu.Unlock()
	go p.run()
	return p, nil
}

// Ports returns the ports that are plugged in.
func (s *Switch) Ports() []*Port { return slices.Clone(*s.ports.Load()) }

// Forbid drops frames in VLAN 0 of ports that are no uplinks when dropped says
// so, which is asked from several goroutines at once. A gateway thereby stays
// the only one that has its addresses.
func (s *Switch) Forbid(dropped func(frame []byte) bool) { s.forbidden.Store(&dropped) }

// Behind returns the port behind which a MAC address was last seen in VLAN 0,
// nil for none.
func (s *Switch) Behind(mac net.HardwareAddr) *Port {
	if len(mac) != 6 {
		return nil
	}
	return s.addresses.find(makeAddress(mac, 0), time.Now().Unix())
}

// Close pulls all ports and returns when they are out.
func (s *Switch) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	ports := s.Ports()
	for _, p := range ports {
		p.shut()
	}
	for _, p := range ports {
		<-p.done
	}
	return nil
}

// detach forgets a port.
func (s *Switch) detach(p *Port) {
	s.mu.Lock()
	ports := slices.DeleteFunc(slices.Clone(*s.ports.Load()), func(q *Port) bool { return q == p })
	s.ports.Store(&ports)
	s.mu.Unlock()
	s.addresses.forget(p)
}
