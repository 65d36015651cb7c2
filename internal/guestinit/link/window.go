package link

import "sync"

// Window counts what may still be sent. It is safe for concurrent use.
type Window struct {
	flow Flow

	mu     sync.Mutex // guards all below
	free   int
	open   bool // no limit any more
	change sync.Cond
}

// NewWindow returns a flow's window, or one without a limit.
func NewWindow(flow Flow, limited bool) *Window {
	w := &Window{flow: flow, free: flow.Window, open: !limited}
	w.change.L = &w.mu
	return w
}

// Take waits until something may be sent and takes at most want bytes of it.
func (w *Window) Take(want int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.free == 0 && !w.open {
		w.change.Wait()
	}
	if w.open {
		return want
	}
	n := min(want, w.free)
	w.free -= n
	return n
}

// Ack gives the flow's unit back. More than was taken is never given.
func (w *Window) Ack() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.free = min(w.free+w.flow.Unit, w.flow.Window)
	w.change.Broadcast()
}

// Open lifts the limit, for a partner that has gone.
func (w *Window) Open() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open = true
	w.change.Broadcast()
}

// Taken counts data of a flow that was taken, and tells how many Acks that is
// worth.
type Taken struct {
	Flow Flow
	rest int
}

// Add counts n bytes more and returns the number of Acks to send.
func (t *Taken) Add(n int) int {
	t.rest += n
	acks := t.rest / t.Flow.Unit
	t.rest %= t.Flow.Unit
	return acks
}
