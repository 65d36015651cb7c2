package run

import (
	"errors"
	"io"
	"strings"
	"sync"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/guestinit/link"
)

// console is this side of the link with the guest's init. Its Write takes what
// the guest says.
type console struct {
	streams streams
	window  *link.Window // of standard input

	fromHost *io.PipeReader
	toGuest  *io.PipeWriter

	decoder link.Decoder
	stream  link.Kind
	taken   link.Taken
	boot    tail // what came before Begin and after End

	listening chan struct{} // closed when the daemon has opened the console
	begun     chan struct{} // closed at Begin
	ended     chan struct{} // closed at End
	closed    chan struct{} // closed when the daemon has closed the console; err is set
	err       error
	broken    chan struct{} // closed when nobody reads our output any more
	breaking  sync.Once
}

func newConsole(s streams) *console {
	c := &console{
		streams: s, window: link.NewWindow(link.Input, true), stream: link.Stdout,
		taken:     link.Taken{Flow: link.Output},
		listening: make(chan struct{}), begun: make(chan struct{}), ended: make(chan struct{}),
		closed: make(chan struct{}), broken: make(chan struct{}),
	}
	c.fromHost, c.toGuest = io.Pipe()
	return c
}

// open asks the daemon for the console of dom and serves it until it is closed.
// It returns when the daemon listens.
func (c *console) open(l *libvirt.Libvirt, dom libvirt.Domain) error {
	go func() {
		defer close(c.closed)
		c.err = l.DomainOpenConsoleBidirectional(dom, nil, &firstRead{Reader: c.fromHost, first: c.listening}, c, 0)
		c.close()
	}()
	select {
	case <-c.listening:
		return nil
	case <-c.closed:
		if c.err == nil {
			c.err = errors.New("the guest's console was closed")
		}
		return c.err
	}
}

// close ends every write to the guest.
func (c *console) close() {
	c.window.Open()
	_ = c.fromHost.CloseWithError(io.EOF)
	_ = c.toGuest.CloseWithError(io.EOF)
}

// firstRead tells by closing first that somebody reads.
type firstRead struct {
	io.Reader
	first chan struct{}
	once  sync.Once
}

func (f *firstRead) Read(p []byte) (int, error) {
	f.once.Do(func() { close(f.first) })
	return f.Reader.Read(p)
}

// Write takes the next bytes of the guest's console.
func (c *console) Write(p []byte) (int, error) {
	c.decoder.Feed(p, c)
	return len(p), nil
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// Data takes output of the command, or of the kernel before and after it.
func (c *console) Data(p []byte) {
	if !isClosed(c.begun) || isClosed(c.ended) {
		c.boot.add(p)
		return
	}
	to := c.streams.stdout
	if c.stream == link.Stderr {
		to = c.streams.stderr
	}
	if _, err := to.Write(p); err != nil && c.stream == link.Stdout {
		c.breaking.Do(func() { close(c.broken) })
	}
	for range c.taken.Add(len(p)) {
		c.word(link.Ack, 0)
	}
}

// Word takes a control word. A guest may repeat them as it likes.
func (c *console) Word(k link.Kind, _ uint32) {
	switch k {
	case link.Begin:
		if !isClosed(c.begun) {
			close(c.begun)
		}
	case link.End:
		if isClosed(c.begun) && !isClosed(c.ended) {
			close(c.ended)
		}
	case link.Stdout, link.Stderr:
		c.stream = k
	case link.Ack:
		c.window.Ack()
	}
}

// word sends a control word; a console that is gone needs none.
func (c *console) word(k link.Kind, value uint32) {
	_, _ = c.toGuest.Write(link.AppendWord(nil, k, value))
}

// feed sends standard input until it ends.
func (c *console) feed(stdin io.Reader) {
	buffer := make([]byte, 16<<10)
	var out []byte
	for {
		n, err := stdin.Read(buffer)
		for p := buffer[:n]; len(p) > 0; {
			take := c.window.Take(len(p))
			out = link.AppendData(out[:0], p[:take])
			if _, err := c.toGuest.Write(out); err != nil {
				return
			}
			p = p[take:]
		}
		if err != nil {
			c.word(link.EOF, 0)
			return
		}
	}
}

// resize tells the guest the terminal's size.
func (c *console) resize() {
	if rows, columns := c.streams.size(); c.streams.terminal && rows > 0 {
		c.word(link.Resize, uint32(rows)<<16|uint32(columns))
	}
}

// tailSize is how much of the kernel's words is kept, in bytes.
const tailSize = 8 << 10

// tail keeps the end of a text.
type tail struct {
	mu   sync.Mutex // guards text
	text []byte
}

func (t *tail) add(p []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if excess := len(t.text) - tailSize; excess > 0 {
		t.text = append(t.text[:0], t.text[excess:]...)
	}
}

// String is the text, fit for a terminal.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f || r == 0xfffd {
			return -1
		}
		return r
	}, string(t.text)))
}
