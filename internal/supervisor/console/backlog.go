package console

import (
	"io"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// backlogSize is how much of a line's newest output waits for a reader.
const backlogSize = 64 << 10

// backlog is a bounded queue of bytes that forgets the oldest. It is small
// until it is needed: most lines have a reader or nothing to say.
type backlog struct {
	// mu guards all below; no blocking call is made under it.
	mu     sync.Mutex
	filled sync.Cond // there are bytes, or closed
	data   []byte    // data[off:] waits
	off    int
	closed bool
	// dropped is called, with mu held, when bytes were forgotten: what lies
	// further on the way to the reader is no longer contiguous with the rest.
	dropped func()
}

func newBacklog() *backlog {
	b := &backlog{}
	b.filled.L = &b.mu
	return b
}

// onDrop sets what is called when bytes are forgotten.
func (b *backlog) onDrop(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dropped = f
}

// Write appends p and never blocks.
func (b *backlog) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := len(p)
	if excess := len(b.data) - b.off + len(p) - backlogSize; excess > 0 {
		if gone := min(excess, len(b.data)-b.off); gone > 0 {
			b.off += gone
		}
		if len(p) > backlogSize {
			p = p[len(p)-backlogSize:]
		}
		if b.dropped != nil {
			b.dropped()
		}
	}
	if b.off > 0 && len(b.data)+len(p) > cap(b.data) {
		b.data = b.data[:copy(b.data, b.data[b.off:])]
		b.off = 0
	}
	b.data = append(b.data, p...)
	b.filled.Broadcast()
	return n, nil
}

// wait returns true when there are bytes and false when the backlog is closed
// or quit says so; quit is asked again after wake.
func (b *backlog) wait(quit func() bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.off == len(b.data) && !b.closed && !quit() {
		b.filled.Wait()
	}
	return !b.closed && !quit()
}

// wake makes wait ask its quit again.
func (b *backlog) wake() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.filled.Broadcast()
}

// send writes what comes to conn until the backlog or conn is closed, conn
// fails, or quit says so.
func (b *backlog) send(conn syscall.RawConn, quit func() bool) error {
	for b.wait(quit) {
		var failure error
		err := conn.Write(func(fd uintptr) bool {
			done, err := b.sendTo(int(fd))
			failure = err
			return done || err != nil
		})
		if err != nil {
			return err
		}
		if failure != nil {
			return failure
		}
	}
	return os.ErrClosed
}

// sendTo writes what waits to the non-blocking descriptor fd until it takes no
// more. It returns false when it must be called again once fd is writable.
// Nothing is taken out before it was written, so that a drop in between leaves
// no old bytes behind.
func (b *backlog) sendTo(fd int) (done bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.off < len(b.data) && !b.closed {
		n, err := unix.Write(fd, b.data[b.off:])
		switch {
		case err == unix.EAGAIN:
			return false, nil
		case err == unix.EINTR:
		case err != nil:
			return true, err
		case n == 0:
			return true, io.ErrShortWrite
		default:
			b.off += n
		}
	}
	b.data, b.off = b.data[:0], 0
	return true, nil
}

// Len is how many bytes wait.
func (b *backlog) Len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.data) - b.off
}

func (b *backlog) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.filled.Broadcast()
}
