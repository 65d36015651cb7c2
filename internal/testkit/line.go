package testkit

import (
	"io"
	"net"
	"regexp"
	"sync"
	"testing"
	"time"
)

// Line is the far end of a guest's console or serial line: a connection, or a
// terminal of the host.
type Line struct {
	t    testing.TB
	far  io.ReadWriteCloser
	over chan struct{} // closed when nothing more comes

	mu      sync.Mutex    // guards what follows
	output  []byte        // what Expect has not consumed
	changed chan struct{} // closed and replaced when output grows
}

// Dial connects to a line that listens on network ("tcp", "unix").
func (d *Daemon) Dial(network, address string) *Line {
	d.t.Helper()
	conn, err := net.DialTimeout(network, address, Patience)
	if err != nil {
		d.t.Fatal(err)
	}
	return d.newLine(conn)
}

// PTY makes a terminal of the host's and returns its master side and the path
// of the device, which belongs to the daemon's user.
func (d *Daemon) PTY() (*Line, string) {
	d.t.Helper()
	master, slave := openPTY(d.t)
	d.t.Cleanup(func() { slave.Close() })
	d.own(slave.Name())
	return d.newLine(master), slave.Name()
}

func (d *Daemon) newLine(far io.ReadWriteCloser) *Line {
	l := &Line{t: d.t, far: far, over: make(chan struct{}), changed: make(chan struct{})}
	go l.read()
	d.t.Cleanup(func() { far.Close() })
	return l
}

// read collects the output until the line ends.
func (l *Line) read() {
	defer close(l.over)
	buf := make([]byte, 64<<10)
	for {
		n, err := l.far.Read(buf)
		l.mu.Lock()
		l.output = append(l.output, buf[:n]...)
		close(l.changed)
		l.changed = make(chan struct{})
		l.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// Send types text.
func (l *Line) Send(text string) {
	l.t.Helper()
	if _, err := io.WriteString(l.far, text); err != nil {
		l.t.Fatal("cannot type:", err)
	}
}

// Close hangs up.
func (l *Line) Close() {
	l.t.Helper()
	if err := l.far.Close(); err != nil {
		l.t.Error(err)
	}
}

// Expect waits for output that matches the regular expression, consumes
// everything up to its end, and returns the match and its groups.
func (l *Line) Expect(pattern string) []string {
	l.t.Helper()
	expression := regexp.MustCompile(pattern)
	deadline := time.After(Patience)
	ended := false
	for {
		l.mu.Lock()
		found := expression.FindSubmatch(l.output)
		seen, changed := string(l.output), l.changed
		if found != nil {
			l.output = l.output[expression.FindIndex(l.output)[1]:]
		}
		l.mu.Unlock()
		if found != nil {
			groups := make([]string, len(found))
			for i, group := range found {
				groups[i] = string(group)
			}
			return groups
		}
		if ended {
			l.t.Fatalf("the line has ended without %q; it said:\n%s", pattern, seen)
		}
		select {
		case <-changed:
		case <-l.over:
			ended = true // one more look at what came last
		case <-deadline:
			l.t.Fatalf("the line has not said %q in %v; it said:\n%s", pattern, Patience, seen)
		}
	}
}
