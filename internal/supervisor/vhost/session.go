package vhost

import (
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Features of a device (virtio 1.2, chapter 5.1.3) and of the protocol.
const (
	featureMAC = 1 << 5

	protocolBackendChannel = 1 << 5
	protocolConfig         = 1 << 9
)

// configHeader is what is before the device's configuration in the payload of
// a GET_CONFIG: offset, size and flags. The configuration begins with the MAC
// address.
const configHeader = 12

// session is one connection of the guest's kernel, of one boot.
type session struct {
	front, back *net.UnixConn
	mac         net.HardwareAddr
	// features and protocol are what the back end offers by itself.
	features, protocol atomic.Uint64
	// gone says that the back end has ended; pending is the request that it
	// is to answer. Who takes it out answers it.
	gone    atomic.Bool
	pending atomic.Pointer[message]
	// channel is the kernel's for requests of the back end, of which it is
	// not to see the end: it would not stop asking why. 0 is none.
	channel int
	// done is closed when run has ended.
	done chan struct{}
}

func newSession(front, back *net.UnixConn, mac net.HardwareAddr) *session {
	return &session{front: front, back: back, mac: mac, done: make(chan struct{})}
}

// run passes messages on until the kernel closes. One whose back end has ended
// is answered all the same: without, Linux 6.1 dies when it shuts the device
// down.
func (s *session) run() error {
	defer close(s.done)
	var fromBack error
	var wait sync.WaitGroup
	wait.Go(func() {
		fromBack = pump(s.back, s.reply)
		s.gone.Store(true)
		s.back.Close()
		fromBack = errors.Join(fromBack, s.standIn())
	})
	fromFront := pump(s.front, s.request)
	s.close()
	wait.Wait()
	return errors.Join(fromFront, fromBack)
}

func (s *session) close() {
	s.front.Close()
	s.back.Close()
}

// end ends a session whose kernel has ended.
func (s *session) end() {
	s.close()
	<-s.done
	if s.channel != 0 {
		_ = unix.Close(s.channel)
		s.channel = 0
	}
}

// pump hands each message of a connection to use. That the connection ends is
// no error.
func pump(conn *net.UnixConn, use func(message) error) error {
	for {
		m, err := receive(conn)
		if err == nil {
			err = use(m)
		}
		m.close()
		if err != nil {
			return notEnd(err)
		}
	}
}

// request passes on what the kernel asks for.
func (s *session) request(m message) error {
	switch m.request {
	case setFeatures:
		return s.keepOffered(m, s.features.Load(), featureMAC)
	case setProtocolFeatures:
		return s.keepOffered(m, s.protocol.Load(), protocolBackendChannel|protocolConfig)
	case setBackendChannel:
		return s.setChannel(m)
	case getConfig:
		if s.protocol.Load()&protocolConfig == 0 {
			return m.answer(s.configured(m.payload)).send(s.front)
		}
	}
	return s.forward(m)
}

// forward sends the back end a request, or answers it where there is none.
func (s *session) forward(m message) error {
	if expectsReply(m) {
		s.pending.Store(&message{request: m.request, payload: m.payload})
	}
	if s.gone.Load() {
		return s.standIn()
	}
	err := m.send(s.back)
	if err != nil && notEnd(err) == nil {
		return s.standIn()
	}
	return err
}

func expectsReply(m message) bool {
	switch m.request {
	case getFeatures, getProtocolFeatures, getVringBase, getConfig:
		return true
	}
	return m.flags&needReply != 0
}

// standIn answers the request that a back end has left unanswered: it is done,
// or the value is 0.
func (s *session) standIn() error {
	m := s.pending.Swap(nil)
	switch {
	case m == nil:
		return nil
	case m.request == getConfig:
		return m.answer(s.configured(m.payload)).send(s.front)
	}
	return notEnd(m.answer(make([]byte, 8)).send(s.front))
}

// keepOffered takes from what the kernel accepts the features that were ours.
func (s *session) keepOffered(m message, offered, ours uint64) error {
	if n, ok := m.number(); ok {
		m = m.withNumber(n &^ (ours &^ offered))
	}
	return s.forward(m)
}

// setChannel passes the channel on to a back end that has a use for it.
func (s *session) setChannel(m message) error {
	if s.channel == 0 && len(m.files) == 1 {
		channel, err := unix.FcntlInt(uintptr(m.files[0]), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			return err
		}
		s.channel = channel
	}
	switch {
	case s.protocol.Load()&protocolBackendChannel != 0:
		return s.forward(m)
	case m.flags&needReply != 0:
		return m.answer(make([]byte, 8)).send(s.front)
	}
	return nil
}

// reply passes on what the back end says.
func (s *session) reply(m message) error {
	s.pending.Store(nil)
	switch m.request {
	case getFeatures:
		m = offer(m, &s.features, featureMAC)
	case getProtocolFeatures:
		m = offer(m, &s.protocol, protocolBackendChannel|protocolConfig)
	case getConfig:
		m.payload = s.configured(m.payload)
	}
	return m.send(s.front)
}

// offer adds ours to the features that the back end offers, which it notes.
func offer(m message, offered *atomic.Uint64, ours uint64) message {
	n, ok := m.number()
	if !ok {
		return m
	}
	offered.Store(n)
	return m.withNumber(n | ours)
}

// configured is the payload of a GET_CONFIG with the MAC address in it, if it
// asks for the beginning of the configuration, as kernels do.
func (s *session) configured(payload []byte) []byte {
	if len(payload) > configHeader && binary.NativeEndian.Uint32(payload) == 0 {
		copy(payload[configHeader:], s.mac)
	}
	return payload
}
