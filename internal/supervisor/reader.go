package supervisor

import (
	"context"
	"net"
	"time"

	"virtumld/internal/supervisor/process"
)

// newHandle takes over a connection whose first report was facts.
func newHandle(dir string, conn *net.UnixConn, facts Facts) *Handle {
	// A supervisor that has just ended leaves its record; the reader finds it.
	self, err := process.Of(facts.SupervisorPID)
	if err != nil {
		self = process.ID{}
	}
	h := &Handle{
		dir: dir, conn: conn, facts: facts, self: self,
		events: make(chan Event, 16), closed: make(chan struct{}),
		pending: make(map[int]chan error),
	}
	h.reader.Go(h.read)
	return h
}

// read takes the supervisor's reports until the guest has exited or Close.
func (h *Handle) read() {
	defer close(h.events)
	defer h.letGo()
	defer h.failPending()
	for {
		conn := h.connection()
		if conn == nil {
			return
		}
		var r report
		if err := receive(conn, &r); err != nil {
			if !h.reconnect(conn) {
				return
			}
			continue
		}
		if h.take(r) {
			return
		}
	}
}

// letGo closes the connection, so that a supervisor whose guest has ended need
// not stay for us.
func (h *Handle) letGo() {
	h.mu.Lock()
	conn := h.conn
	h.conn = nil
	h.mu.Unlock()
	if conn != nil {
		conn.Close()
	}
}

func (h *Handle) connection() *net.UnixConn {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.conn
}

// take passes on one report and says whether it was the last that matters.
// The answers to those who wait for the end come after it.
func (h *Handle) take(r report) bool {
	if r.Facts != nil {
		h.mu.Lock()
		h.facts = *r.Facts
		h.mu.Unlock()
	}
	if r.ID != 0 {
		var err error
		if r.Error != nil {
			err = r.Error.error()
		}
		h.settle(r.ID, err)
	}
	if r.Event == nil || r.Event.Type == Made {
		return false
	}
	if r.Event.Type == Exited {
		h.end(*r.Event.Exit)
		return true
	}
	return !h.deliver(*r.Event)
}

// deliver returns false when Close came first.
func (h *Handle) deliver(e Event) bool {
	select {
	case h.events <- e:
		return true
	case <-h.closed:
		return false
	}
}

// end delivers the exit. Kill and Terminate have then done what they should.
func (h *Handle) end(exit Exit) {
	h.mu.Lock()
	h.over = true
	pending := h.pending
	h.pending = make(map[int]chan error)
	h.mu.Unlock()
	h.deliver(Event{Type: Exited, Exit: &exit})
	for _, answer := range pending {
		answer <- nil
	}
}

// reconnect finds out why a connection ended: the supervisor may have found us
// too slow, or it is gone and the guest with it.
func (h *Handle) reconnect(old *net.UnixConn) bool {
	old.Close()
	if h.connection() == nil {
		return false // Close
	}
	ctx, cancel := context.WithTimeout(context.Background(), helloTime)
	defer cancel()
	conn, facts, exit, err := connect(ctx, h.dir)
	if err == nil && exit == nil {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.over {
			conn.Close()
			return false
		}
		h.conn, h.facts = conn, facts
		return true
	}
	if exit == nil {
		exit = conclude(h.dir)
		h.mu.Lock()
		if h.killing && exit.Cause == causeFailed {
			exit.Cause = causeDestroyed
		}
		h.mu.Unlock()
	}
	h.end(*exit)
	return false
}

func (h *Handle) failPending() {
	h.mu.Lock()
	pending := h.pending
	h.pending = make(map[int]chan error)
	h.mu.Unlock()
	for _, answer := range pending {
		answer <- errGone()
	}
}

// helloTime is how long a supervisor that lives may take to say who it is; the
// guest of one that takes longer is ended. libvirt waits as long for a QEMU
// monitor.
const helloTime = 30 * time.Second
