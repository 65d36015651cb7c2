package console

import (
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// tailSize is how much of a line is kept for reading an exit.
	tailSize = 2 << 10
	// chunkSize is how much is moved at once.
	chunkSize = 8 << 10
	// guestBuffer bounds, in bytes, what waits between the guest and us.
	guestBuffer = 64 << 10
)

// Line is one console or serial line. It outlives the kernel: each boot gets a
// new descriptor of it (Boot), the source and its readers stay.
type Line struct {
	name   string
	source source
	log    io.WriteCloser // nil without one
	tail   *Tail
	spoke  func() // called once a boot, at the first output

	// mu guards boot; changed is signalled when it or closed changes.
	mu      sync.Mutex
	changed sync.Cond
	boot    *boot
	closed  bool
	workers sync.WaitGroup
}

// boot is one kernel's use of the line.
type boot struct {
	ours *os.File
	// drained is closed when the kernel's last output has been read.
	drained chan struct{}
}

// source is the host's end of a line.
type source interface {
	// Write takes the guest's output and never blocks on a reader.
	io.Writer
	// serve moves bytes between readers and the guest until stop.
	serve(input io.Writer)
	// settle waits a moment for a reader that is still taking output.
	settle(limit time.Duration)
	// stop ends serve and lets go of everything.
	stop()
}

func newLine(name string, src source, log io.WriteCloser, spoke func()) *Line {
	l := &Line{name: name, source: src, log: log, tail: NewTail(tailSize), spoke: spoke}
	l.changed.L = &l.mu
	l.workers.Go(func() { src.serve(inputOf{l}) })
	return l
}

// Name is the kernel's name of the line.
func (l *Line) Name() string { return l.name }

// PTY is the path of the line's pty, "" when it has none.
func (l *Line) PTY() string {
	if p, ok := l.source.(*ptySource); ok {
		return p.path
	}
	return ""
}

// Boot returns a new kernel's end of the line; the caller closes it once the
// kernel has it. The kernel before must have ended.
func (l *Line) Boot() (*os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	for _, fd := range fds {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, guestBuffer)
	}
	b := &boot{ours: os.NewFile(uintptr(fds[0]), l.name), drained: make(chan struct{})}
	l.tail.Reset()
	l.mu.Lock()
	l.boot = b
	l.changed.Broadcast()
	l.mu.Unlock()
	l.workers.Go(func() { l.drain(b) })
	return os.NewFile(uintptr(fds[1]), l.name), nil
}

// drain takes the output of one boot until its kernel is gone.
func (l *Line) drain(b *boot) {
	defer close(b.drained)
	buffer := make([]byte, chunkSize)
	for first := true; ; {
		n, err := b.ours.Read(buffer)
		if n > 0 {
			l.output(buffer[:n])
			if first {
				first = false
				l.spoke()
			}
		}
		if err != nil {
			return
		}
	}
}

// output passes on what the guest wrote. A source or log that fails (a full
// disk) loses output; a guest must not stop for it.
func (l *Line) output(p []byte) {
	_, _ = l.tail.Write(p)
	if l.log != nil {
		_, _ = l.log.Write(p)
	}
	_, _ = l.source.Write(p)
}

// EndBoot waits until the dead kernel's output has been read and lets go of
// its descriptor. A process that still holds the other end is not waited for
// longer than limit.
func (l *Line) EndBoot(limit time.Duration) {
	l.mu.Lock()
	b := l.boot
	l.boot = nil
	l.mu.Unlock()
	if b == nil {
		return
	}
	_ = b.ours.SetReadDeadline(time.Now().Add(limit))
	<-b.drained
	b.ours.Close()
}

// Tail is the end of what the guest has written in this boot.
func (l *Line) Tail() []byte { return l.tail.Bytes() }

// Settle gives a reader that is taking output a moment to take the rest.
func (l *Line) Settle(limit time.Duration) { l.source.settle(limit) }

// Close ends the line.
func (l *Line) Close() {
	l.mu.Lock()
	l.closed = true
	b := l.boot
	l.boot = nil
	l.changed.Broadcast()
	l.mu.Unlock()
	if b != nil {
		b.ours.Close()
	}
	l.source.stop()
	l.workers.Wait()
	if l.log != nil {
		l.log.Close()
	}
}

// inputOf writes to the guest of the moment. It blocks while there is none or
// while the guest does not take it, which keeps its caller from reading more.
type inputOf struct{ line *Line }

func (in inputOf) Write(p []byte) (int, error) {
	b := in.line.current()
	if b == nil {
		return 0, os.ErrClosed
	}
	if _, err := b.ours.Write(p); err != nil {
		// That kernel has gone and its input with it.
		return len(p), nil
	}
	return len(p), nil
}

// current waits for a boot; it returns nil when the line is closed.
func (l *Line) current() *boot {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.boot == nil && !l.closed {
		l.changed.Wait()
	}
	if l.closed {
		return nil
	}
	return l.boot
}
