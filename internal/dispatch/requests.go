package dispatch

import "sync"

// requests runs a client's calls that are not quick: at most limit at a time,
// as many more waiting their turn. Beyond that start waits, so that a client
// is read no faster than it is served.
type requests struct {
	limit int
	group *sync.WaitGroup

	mu      sync.Mutex // guards what follows
	room    sync.Cond  // waiting has got shorter, or closed
	running int
	waiting []func()
	closed  bool
}

func newRequests(limit int, group *sync.WaitGroup) *requests {
	r := &requests{limit: limit, group: group}
	r.room.L = &r.mu
	return r
}

// start runs f in a goroutine, now or when its turn comes.
func (r *requests) start(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.waiting) >= r.limit && !r.closed {
		r.room.Wait()
	}
	switch {
	case r.closed:
	case r.running < r.limit:
		r.running++
		r.group.Go(func() { r.work(f) })
	default:
		r.waiting = append(r.waiting, f)
	}
}

// work runs f and then what waits.
func (r *requests) work(f func()) {
	for f != nil {
		f()
		f = r.next()
	}
}

// next returns what has waited longest. With nil the caller is done.
func (r *requests) next() func() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.waiting) == 0 {
		r.running--
		return nil
	}
	f := r.waiting[0]
	r.waiting = append(r.waiting[:0], r.waiting[1:]...)
	r.room.Signal()
	return f
}

// close drops what waits and takes nothing more. What runs runs on.
func (r *requests) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.waiting = nil
	r.room.Broadcast()
}
