package console

import (
	"io"
	"os"
	"sync"
	"time"
)

// never is the quit of a source that has one reader for ever.
func never() bool { return false }

// exchange moves bytes both ways between file and the guest until file is
// closed.
func exchange(file *os.File, waiting *backlog, guest io.Writer) {
	conn, err := file.SyscallConn()
	if err != nil {
		return
	}
	var sender sync.WaitGroup
	sender.Go(func() { _ = waiting.send(conn, never) })
	receive(file, guest)
	sender.Wait()
}

// receive passes what comes from r to the guest until r ends.
func receive(r io.Reader, guest io.Writer) {
	buffer := make([]byte, chunkSize)
	for {
		n, err := r.Read(buffer)
		if n > 0 {
			if _, err := guest.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

const (
	settleStep = 10 * time.Millisecond
	// settlePatience is how long a reader may take nothing before it counts
	// as absent.
	settlePatience = 50 * time.Millisecond
)

// settleWhile waits while left() shrinks: there is no event that tells when a
// reader has taken the last byte out of a pty's or socket's queue.
func settleWhile(left func() int, limit time.Duration) {
	last, idle := left(), time.Duration(0)
	for waited := time.Duration(0); last > 0 && idle < settlePatience && waited < limit; waited += settleStep {
		time.Sleep(settleStep)
		now := left()
		if now < last {
			idle = 0
		} else {
			idle += settleStep
		}
		last = now
	}
}
