package netswitch

import (
	"sync"
	"sync/atomic"
	"time"
)

// The bounds of a shaped direction's queue: what a rate may hold back, and all
// of it with what is delayed. A few frames wait however low the rate is.
const (
	maxBacklog      = 200 * time.Millisecond
	minQueuedFrames = 16
	maxQueuedFrames = 8192
	maxQueuedBytes  = 16 << 20
)

// queued is a frame that waits for its time.
type queued struct {
	due   time.Time
	frame *buffer
}

// lane is one direction of a shaped port. All but on belongs to shaper.mu.
type lane struct {
	// on says that frames must pass through here.
	on    atomic.Bool
	shape Shape
	pace  pace
	// queue is what waits, behind passed places that are free.
	queue  []queued
	passed int
	bytes  int
	// room is closed when there is room again; nil while nobody waits.
	room chan struct{}
}

func (l *lane) active() bool { return l.on.Load() }

// shaper holds back frames of one port, with one goroutine.
type shaper struct {
	port    *Port
	mu      sync.Mutex
	in, out lane
	wake    chan struct{}
	ended   chan struct{}
}

func newShaper(p *Port) *shaper {
	return &shaper{port: p, wake: make(chan struct{}, 1), ended: make(chan struct{})}
}

// stop ends run; what waits is dropped.
func (s *shaper) stop() { close(s.ended) }

// set changes the shapes. What waits goes by the new delay at the latest.
func (s *shaper) set(in, out Shape) {
	s.mu.Lock()
	s.in.set(in)
	s.out.set(out)
	s.mu.Unlock()
	s.rouse()
}

func (l *lane) set(shape Shape) {
	if shape == l.shape {
		return
	}
	l.shape, l.pace = shape, pace{}
	last := time.Now().Add(shape.Delay)
	for i := range l.queue {
		if l.queue[i].due.After(last) {
			l.queue[i].due = last
		}
	}
	l.on.Store(shape.active() || len(l.waiting()) > 0)
	l.makeRoom()
}

// waiting returns what waits, the next first.
func (l *lane) waiting() []queued { return l.queue[l.passed:] }

func (l *lane) makeRoom() {
	if l.room != nil {
		close(l.room)
		l.room = nil
	}
}

func (s *shaper) rouse() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// push takes a copy of a frame and reports false when it drops it. With wait
// it holds its caller up while a rate's queue is full.
func (s *shaper) push(l *lane, frame []byte, wait bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.shape.lost() {
		return false
	}
	now := time.Now()
	at := l.pace.next(&l.shape, now)
	for l.full(at.Sub(now), len(frame)) {
		if !wait || !s.awaitRoom(l) {
			return false
		}
		now = time.Now()
		at = l.pace.next(&l.shape, now)
	}
	l.queue = append(l.queue, queued{l.pace.take(&l.shape, at, len(frame)), copyFrame(frame)})
	l.bytes += len(frame)
	if len(l.waiting()) == 1 {
		s.rouse()
	}
	return true
}

func (l *lane) full(backlog time.Duration, size int) bool {
	n := len(l.waiting())
	return n >= maxQueuedFrames || l.bytes+size > maxQueuedBytes || n >= minQueuedFrames && backlog > maxBacklog
}

// awaitRoom waits, without the lock, until some frames have gone. It reports
// false at the port's end.
func (s *shaper) awaitRoom(l *lane) bool {
	if l.room == nil {
		l.room = make(chan struct{})
	}
	room := l.room
	s.mu.Unlock()
	defer s.mu.Lock()
	select {
	case <-room:
		return true
	case <-s.port.closing:
		return false
	}
}

// run lets frames go when they are due, to the port's end.
func (s *shaper) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	f := &forwarder{port: s.port, wait: time.NewTimer(time.Hour), waits: true}
	f.wait.Stop()
	var held []*buffer
	var frames [][]byte
	for {
		held = s.due(&s.in, held[:0])
		frames = views(held, frames[:0])
		f.forward(s.port.config.Load(), frames)
		freeAll(held)

		held = s.due(&s.out, held[:0])
		frames = views(held, frames[:0])
		s.port.send(frames, f.wait)
		freeAll(held)

		timer.Reset(s.sleep())
		select {
		case <-timer.C:
		case <-s.wake:
		case <-s.ended:
			return
		}
	}
}

// due takes the frames of a lane whose time has come, a batch at most.
func (s *shaper) due(l *lane, held []*buffer) []*buffer {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	waiting := l.waiting()
	n := 0
	for n < len(waiting) && n < batchSize && !waiting[n].due.After(now) {
		held = append(held, waiting[n].frame)
		l.bytes -= len(waiting[n].frame.data)
		n++
	}
	if n > 0 {
		l.advance(n)
		l.makeRoom()
	}
	return held
}

// advance passes n frames. Their places are used again once they are half of
// the queue.
func (l *lane) advance(n int) {
	l.passed += n
	if l.passed*2 < len(l.queue) {
		return
	}
	left := copy(l.queue, l.waiting())
	clear(l.queue[left:])
	l.queue, l.passed = l.queue[:left], 0
	if left == 0 {
		l.on.Store(l.shape.active())
	}
}

// sleep is how long nothing is due.
func (s *shaper) sleep() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	left := time.Hour
	now := time.Now()
	for _, l := range []*lane{&s.in, &s.out} {
		if waiting := l.waiting(); len(waiting) > 0 {
			left = min(left, max(waiting[0].due.Sub(now), 0))
		}
	}
	return left
}
