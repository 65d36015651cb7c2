package netswitch

import (
	"sync"
	"sync/atomic"
	"time"
)

// How long a sender waits for a receiver whose queue is full. TCP is much better
// off with a short wait than with a loss. A receiver that takes less than
// leastProgress bytes (with what the kernel adds to each frame) in the time of
// patience, or makes no room in longestWait, is stuck: nobody waits for it until
// it has made room.
const (
	patience      = 10 * time.Millisecond
	leastProgress = 32 << 10
	longestWait   = 200 * time.Millisecond
)

// roomAwaiter is a BatchWriter that can wait for room.
type roomAwaiter interface {
	// awaitRoom returns when there is room, or with an error at the end.
	awaitRoom() error
	// unread is how many bytes the receiver has not taken yet.
	unread() int
}

// send gives frames to the device, and counts. With a timer it waits for room.
func (p *Port) send(frames [][]byte, timer *time.Timer) {
	p.sw.show(p, ToDevice, frames)
	writer, ok := p.conn.(BatchWriter)
	if !ok {
		p.sendEach(frames)
		return
	}
	for len(frames) > 0 {
		n, err := writer.WriteFrames(frames)
		p.countSent(frames[:n])
		frames = frames[n:]
		switch {
		case err != nil && len(frames) > 0:
			p.count.rxErrors.Add(1)
			frames = frames[1:]
		case len(frames) > 0 && (timer == nil || !p.awaitRoom(timer)):
			p.count.rxDropped.Add(uint64(len(frames)))
			return
		}
	}
}

func (p *Port) sendEach(frames [][]byte) {
	p.writing.Lock()
	defer p.writing.Unlock()
	for i := range frames {
		if _, err := p.conn.Write(frames[i]); err != nil {
			p.count.rxDropped.Add(1)
			continue
		}
		p.countSent(frames[i : i+1])
	}
}

func (p *Port) countSent(frames [][]byte) {
	if len(frames) == 0 {
		return
	}
	size := 0
	for _, f := range frames {
		size += len(f)
	}
	p.count.rxPackets.Add(uint64(len(frames)))
	p.count.rxBytes.Add(uint64(size))
}

// waitingRoom is where senders wait for a receiver.
type waitingRoom struct {
	// stuck says that a wait took too long; room clears it.
	stuck atomic.Bool
	mu    sync.Mutex
	// room is closed when there is room again; nil while nobody waits.
	room chan struct{}
}

// awaitRoom waits for room in the device's queue and reports whether there may
// be some.
func (p *Port) awaitRoom(timer *time.Timer) bool {
	conn, ok := p.conn.(roomAwaiter)
	if !ok || p.room.stuck.Load() {
		return false
	}
	room, waited := p.room.enter(conn), time.Duration(0)
	defer timer.Stop()
	for left := conn.unread(); ; {
		timer.Reset(patience)
		select {
		case <-room:
			return true
		case <-p.closing:
			return false
		case <-timer.C:
		}
		waited += patience
		before := left
		if left = conn.unread(); before-left < leastProgress || waited >= longestWait {
			p.room.giveUp(room)
			return false
		}
	}
}

// giveUp notes that nobody should wait for room, unless it has just come.
func (w *waitingRoom) giveUp(room <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.room != nil && room == w.room {
		w.stuck.Store(true)
	}
}

// enter returns what is closed when there is room. One goroutine waits for all
// that have entered, as long as it takes.
func (w *waitingRoom) enter(conn roomAwaiter) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.room == nil {
		w.room = make(chan struct{})
		go w.watch(conn)
	}
	return w.room
}

func (w *waitingRoom) watch(conn roomAwaiter) {
	_ = conn.awaitRoom() // at the end of conn the next write fails
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.room)
	w.room = nil
	w.stuck.Store(false)
}
