package daemon

import (
	"sync"
	"time"
)

// idle notices that a daemon has had nothing to do for some time. It does not
// poll: whoever ends something that kept the daemon busy calls changed.
type idle struct {
	timeout time.Duration
	expired chan struct{} // closed when the time is over

	mu    sync.Mutex // guards what follows
	busy  func() bool
	timer *time.Timer // nil before start, after stop, and without a timeout
}

// newIdle makes a watch that begins with start. A timeout of 0 never ends.
func newIdle(timeout time.Duration) *idle {
	return &idle{timeout: timeout, expired: make(chan struct{})}
}

// start begins to watch; busy reports whether there is something to do.
func (i *idle) start(busy func() bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.busy = busy
	if i.timeout > 0 {
		i.timer = time.AfterFunc(i.timeout, i.fire)
	}
}

// changed starts the time anew.
func (i *idle) changed() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.timer != nil {
		i.timer.Reset(i.timeout)
	}
}

// fire ends the daemon, unless it is busy: then the end of what it is busy
// with calls changed.
func (i *idle) fire() {
	i.mu.Lock()
	busy := i.busy
	i.mu.Unlock()
	// Not under the lock: who calls changed may hold locks that busy needs.
	if busy() {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.timer != nil {
		i.timer = nil
		close(i.expired)
	}
}

// stop ends the watch.
func (i *idle) stop() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.timer != nil {
		i.timer.Stop()
		i.timer = nil
	}
}
