package dispatch

import (
	"sync"

	"virtumld/internal/proto"
	"virtumld/internal/wire"
)

// maxQueued is how many bytes of messages may wait for a client: tens of
// thousands of events.
const maxQueued = 4 << 20

// messages is the queue of what the server sends by itself: events and pings.
// Putting one in never waits. One goroutine sends them in order; it is there
// only while there is something to send.
type messages struct {
	send     func(packet []byte) error
	overflow func() // called once, when the client has fallen too far behind
	group    *sync.WaitGroup

	mu      sync.Mutex // guards what follows
	queue   [][]byte
	bytes   int // in queue
	held    int
	sending bool
	closed  bool
}

func newMessages(send func([]byte) error, overflow func(), group *sync.WaitGroup) *messages {
	return &messages{send: send, overflow: overflow, group: group}
}

// put queues a packet, which the queue keeps.
func (m *messages) put(packet []byte) {
	if !m.fits(packet) {
		m.overflow()
	}
}

// fits is put; it reports false, and closes the queue, when the packet is too
// much.
func (m *messages) fits(packet []byte) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return true
	}
	if m.bytes+len(packet) > maxQueued {
		m.drop()
		return false
	}
	m.queue = append(m.queue, packet)
	m.bytes += len(packet)
	m.startSending()
	return true
}

// hold keeps messages back until release: a call is about to be answered that
// decides what they mean.
func (m *messages) hold() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held++
}

// release undoes one hold.
func (m *messages) release() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held--
	m.startSending()
}

// startSending sees to it that what may be sent is sent. Precondition: mu is
// held.
func (m *messages) startSending() {
	if m.sending || m.held > 0 || len(m.queue) == 0 || m.closed {
		return
	}
	m.sending = true
	m.group.Go(m.sendAll)
}

// sendAll sends messages until there are none.
func (m *messages) sendAll() {
	for packet := m.next(); packet != nil; packet = m.next() {
		if m.send(packet) != nil {
			m.close()
		}
	}
}

// next takes the oldest message. With nil the sending goroutine is done.
func (m *messages) next() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.queue) == 0 || m.held > 0 {
		m.sending = false
		return nil
	}
	packet := m.queue[0]
	m.queue[0] = nil
	m.queue = m.queue[1:]
	m.bytes -= len(packet)
	return packet
}

// close drops what waits and takes nothing more.
func (m *messages) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.drop()
}

// drop is close. Precondition: mu is held.
func (m *messages) drop() {
	m.closed = true
	m.queue, m.bytes = nil, 0
}

// eventSerial is what libvirtd sends as the serial of events; no client looks.
const eventSerial = 1

// Notify queues an event message for the client; see driver.Notifier.
func (c *client) Notify(procedure int32, message any) {
	header := wire.Header{
		Program: proto.ProgramRemote, Version: proto.Version, Procedure: procedure,
		Type: wire.Message, Serial: eventSerial, Status: wire.OK,
	}
	packet, err := proto.Codec.Append(wire.Begin(nil, header), message)
	if err != nil {
		c.log.Error("cannot encode an event", "proc", procedure, "error", err)
		return
	}
	c.messages.put(packet)
}
