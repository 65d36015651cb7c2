package guestinit

import (
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"virtumld/internal/guestinit/link"
)

// sender writes the command's output and control words to the console.
type sender struct {
	window *link.Window

	mu      sync.Mutex // guards all below; held while the console is written to
	console io.Writer
	current link.Kind // the stream that data is of, link.Stdout at first
	buffer  []byte
}

func newSender(console io.Writer, window *link.Window) *sender {
	return &sender{console: console, window: window, current: link.Stdout}
}

func (s *sender) word(k link.Kind) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.write(link.AppendWord(s.buffer[:0], k, 0))
}

// send writes p as data of a stream, in the pieces that the window lets
// through.
func (s *sender) send(stream link.Kind, p []byte) {
	for len(p) > 0 {
		n := s.window.Take(len(p))
		s.piece(stream, p[:n])
		p = p[n:]
	}
}

func (s *sender) piece(stream link.Kind, p []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buffer[:0]
	if s.current != stream {
		b = link.AppendWord(b, stream, 0)
		s.current = stream
	}
	s.write(link.AppendData(b, p))
}

// write leaves errors alone: without a console there is nobody to tell.
func (s *sender) write(b []byte) {
	s.buffer = b[:0]
	_, _ = s.console.Write(b)
}

// copyFrom sends all that r yields; the end of a terminal is EIO.
func (s *sender) copyFrom(stream link.Kind, r io.Reader) {
	buffer := make([]byte, 16<<10)
	for {
		n, err := r.Read(buffer)
		s.send(stream, buffer[:n])
		if err != nil {
			return
		}
	}
}

// receiver takes what comes from the console.
type receiver struct {
	sender  *sender
	input   *queue
	resized func(rows, columns uint16)
	signal  func(unix.Signal)
}

// Data takes a piece of the command's standard input.
func (r *receiver) Data(p []byte) { r.input.put(p) }

// Word takes a control word.
func (r *receiver) Word(k link.Kind, value uint32) {
	switch k {
	case link.Ack:
		r.sender.window.Ack()
	case link.EOF:
		r.input.end()
	case link.Resize:
		r.resized(uint16(value>>16), uint16(value))
	case link.Signal:
		r.signal(unix.Signal(value))
	}
}

// run reads the console until it fails, which is the end of the guest.
func (r *receiver) run(console io.Reader) {
	var decoder link.Decoder
	buffer := make([]byte, 16<<10)
	for {
		n, err := console.Read(buffer)
		decoder.Feed(buffer[:n], r)
		if err != nil {
			r.input.end()
			return
		}
	}
}

// queue is standard input on its way to a command that need not read it. The
// link's window bounds it; what comes beyond is typed by somebody who keeps to
// no window, and lost, as a terminal would lose it.
type queue struct {
	mu    sync.Mutex // guards all below
	data  []byte
	ended bool
	grown sync.Cond
}

func newQueue() *queue {
	q := &queue{}
	q.grown.L = &q.mu
	return q
}

func (q *queue) put(p []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	room := link.Input.Window - len(q.data)
	q.data = append(q.data, p[:min(len(p), room)]...)
	q.grown.Broadcast()
}

func (q *queue) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ended = true
	q.grown.Broadcast()
}

// take waits for data and returns what there is; none is the end.
func (q *queue) take() []byte {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.data) == 0 && !q.ended {
		q.grown.Wait()
	}
	p := q.data
	q.data = nil
	return p
}

// feed passes the queue on to stdin. A command that has closed its standard
// input still has the rest taken from the console.
func (q *queue) feed(stdin io.WriteCloser, s *sender) {
	defer stdin.Close()
	taken := link.Taken{Flow: link.Input}
	for p := q.take(); len(p) > 0; p = q.take() {
		for len(p) > 0 {
			n := min(len(p), link.Input.Unit)
			_, _ = stdin.Write(p[:n])
			for range taken.Add(n) {
				s.word(link.Ack)
			}
			p = p[n:]
		}
	}
}

// typed makes the end of a standard input a terminal's: Ctrl-D.
type typed struct{ *os.File }

func (t typed) Close() error {
	_, err := t.Write([]byte{4})
	return err
}
