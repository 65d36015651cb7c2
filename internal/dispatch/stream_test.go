package dispatch

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/proto"
	"virtumld/internal/virerr"
	"virtumld/internal/wire"
)

// console is a fake end of a stream: what the test writes to guest comes to
// the client, and what the client sends can be read from guest.
type console struct {
	net.Conn // the daemon's side
	guest    net.Conn
	failure  error // what Read says instead of EOF

	mu     sync.Mutex // guards: closed
	closed int
	gone   chan struct{} // closed by Close
}

func newConsole(t testing.TB) *console {
	ours, guest := net.Pipe()
	t.Cleanup(func() { _ = guest.Close() })
	return &console{Conn: ours, guest: guest, gone: make(chan struct{})}
}

func (c *console) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if errors.Is(err, io.EOF) && c.failure != nil {
		err = c.failure
	}
	return n, err
}

func (c *console) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed++; c.closed == 1 {
		close(c.gone)
	}
	return c.Conn.Close()
}

func (c *console) timesClosed() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// streaming is a client with an open console.
type streaming struct {
	*streamClient
	*console
}

// streamClient is a client with an open stream.
type streamClient struct {
	*rawClient
	header wire.Header // of the stream's packets, status OK
}

// openStream makes the call that opens a stream.
func (s *serving) openStream(t testing.TB, procedure int32, args any) *streamClient {
	t.Helper()
	c := s.open(t)
	c.must(procedure, args, nil)
	h := callHeader(procedure, c.serial)
	h.Type = wire.Stream
	return &streamClient{rawClient: c, header: h}
}

func openConsole(t *testing.T) *streaming {
	t.Helper()
	return openConsoleOf(t, newConsole(t))
}

func openConsoleOf(t *testing.T, console *console) *streaming {
	t.Helper()
	return openConsoleWith(t, console, Options{})
}

func openConsoleWith(t *testing.T, console *console, options Options) *streaming {
	t.Helper()
	backend := newBackend()
	backend.console = func(context.Context) (io.ReadWriteCloser, error) { return console, nil }
	c := serve(t, backend, options).openStream(t, proto.DomainOpenConsole, &libvirt.DomainOpenConsoleArgs{Dom: demo})
	return &streaming{streamClient: c, console: console}
}

func (s *streamClient) sendStatus(status wire.Status, data string) {
	s.t.Helper()
	h := s.header
	h.Status = status
	s.send(h, []byte(data))
}

// expect reads a stream packet.
func (s *streamClient) expect(status wire.Status, data string) {
	s.t.Helper()
	h, payload := s.next()
	want := s.header
	want.Status = status
	if h != want || string(payload) != data {
		s.t.Fatalf("got %+v %q, want status %d, %q", h, payload, status, data)
	}
}

// expectError reads the stream's last packet.
func (s *streamClient) expectError(code libvirt.ErrorNumber) {
	s.t.Helper()
	h, payload := s.next()
	want := s.header
	want.Status = wire.Error
	if h != want {
		s.t.Fatalf("got %+v, want %+v", h, want)
	}
	if e := decodeError(s.t, payload); e.Code != int32(code) {
		s.t.Fatalf("error %d %q, want code %d", e.Code, e.Message, code)
	}
}

func (s *streaming) guestSays(text string) {
	s.t.Helper()
	if _, err := io.WriteString(s.guest, text); err != nil {
		s.t.Fatal(err)
	}
}

func (s *streaming) guestHears(text string) {
	s.t.Helper()
	got := make([]byte, len(text))
	if _, err := io.ReadFull(s.guest, got); err != nil || string(got) != text {
		s.t.Fatalf("the guest heard %q, %v; want %q", got, err, text)
	}
}

// closedOnce checks the end of the stream on the daemon's side.
func (s *streaming) closedOnce() {
	s.t.Helper()
	receive(s.t, s.gone)
	s.must(proto.ConnectGetType, nil, new(libvirt.ConnectGetTypeRet))
	if n := s.timesClosed(); n != 1 {
		s.t.Errorf("the console was closed %d times", n)
	}
}

func TestStreamBothWaysAndFinish(t *testing.T) {
	t.Parallel()
	s := openConsole(t)
	s.guestSays("login: ")
	s.expect(wire.Continue, "login: ")
	s.sendStatus(wire.Continue, "root\n")
	s.sendStatus(wire.Continue, "") // nothing
	s.guestHears("root\n")
	s.guestSays("# ")
	s.expect(wire.Continue, "# ")
	s.sendStatus(wire.OK, "")
	s.expect(wire.OK, "")
	s.closedOnce()
	s.sendStatus(wire.Continue, "late") // is dropped
	s.must(proto.ConnectGetType, nil, new(libvirt.ConnectGetTypeRet))
}

func TestStreamFinishWritesWhatWasSent(t *testing.T) {
	t.Parallel()
	s := openConsole(t)
	s.sendStatus(wire.Continue, "one ")
	s.sendStatus(wire.Continue, "two")
	s.sendStatus(wire.OK, "")
	s.guestHears("one two")
	s.expect(wire.OK, "")
	s.closedOnce()
}

func TestStreamEndsWithTheGuest(t *testing.T) {
	t.Parallel()
	s := openConsole(t)
	s.guestSays("bye")
	s.expect(wire.Continue, "bye")
	if err := s.guest.Close(); err != nil {
		t.Fatal(err)
	}
	s.expect(wire.Continue, "") // the end of the data
	s.sendStatus(wire.OK, "")
	s.expect(wire.OK, "")
	s.closedOnce()
}

func TestStreamAbort(t *testing.T) {
	t.Parallel()
	s := openConsole(t)
	s.sendStatus(wire.Continue, "nobody reads this") // blocks the writer
	s.sendStatus(wire.Error, "")
	s.expect(wire.OK, "")
	s.closedOnce()
}

func TestStreamFailure(t *testing.T) {
	t.Parallel()
	console := newConsole(t)
	console.failure = virerr.In(virerr.Streams, libvirt.ErrOperationAborted, "another client has taken over the console")
	s := openConsoleOf(t, console)
	if err := s.guest.Close(); err != nil {
		t.Fatal(err)
	}
	s.expectError(libvirt.ErrOperationAborted)
	s.closedOnce()
	s.sendStatus(wire.Error, "") // crosses the failure and is dropped
	s.must(proto.ConnectGetType, nil, new(libvirt.ConnectGetTypeRet))
}

func TestStreamThatCannotBeOpened(t *testing.T) {
	t.Parallel()
	backend := newBackend()
	backend.console = func(context.Context) (io.ReadWriteCloser, error) {
		return nil, virerr.New(libvirt.ErrOperationInvalid, "domain is not running")
	}
	c := serve(t, backend, Options{}).open(t)
	serial := c.call(proto.DomainOpenConsole, &libvirt.DomainOpenConsoleArgs{Dom: demo})
	h, payload := c.next()
	if h != replyTo(callHeader(proto.DomainOpenConsole, serial), wire.Error) {
		t.Errorf("got %+v", h)
	}
	if e := decodeError(t, payload); e.Message[0] != "Requested operation is not valid: domain is not running" {
		t.Errorf("error %q", e.Message)
	}
}

func TestStreamWithTheSerialOfAnother(t *testing.T) {
	t.Parallel()
	s := openConsole(t)
	s.send(callHeader(proto.DomainOpenConsole, s.serial), &libvirt.DomainOpenConsoleArgs{Dom: demo})
	if h, payload := s.next(); h.Type != wire.Reply || decodeError(t, payload).Code != int32(libvirt.ErrRPC) {
		t.Errorf("got %+v", h)
	}
}

func TestTooManyStreams(t *testing.T) {
	t.Parallel()
	backend := newBackend()
	consoles := make(chan *console, 1)
	backend.console = func(context.Context) (io.ReadWriteCloser, error) {
		console := newConsole(t)
		consoles <- console
		return console, nil
	}
	args := &libvirt.DomainOpenConsoleArgs{Dom: demo}
	s := serve(t, backend, Options{}).openStream(t, proto.DomainOpenConsole, args)
	<-consoles
	for range maxStreams - 1 {
		s.must(proto.DomainOpenConsole, args, nil)
		<-consoles
	}
	s.serial++
	s.send(callHeader(proto.DomainOpenConsole, s.serial), args)
	h, payload := s.next()
	if h.Status != wire.Error || decodeError(t, payload).Code != int32(libvirt.ErrResourceBusy) {
		t.Errorf("one more: %+v", h)
	}
	receive(t, (<-consoles).gone)

	s.sendStatus(wire.OK, "") // ends the first one
	s.expect(wire.OK, "")
	s.must(proto.DomainOpenConsole, args, nil)
}

func TestHoleInAConsoleEndsTheConnection(t *testing.T) {
	t.Parallel()
	s := openConsole(t)
	h := s.header
	h.Type, h.Status = wire.StreamHole, wire.Continue
	s.send(h, make([]byte, 12))
	s.ended()
	receive(t, s.gone)
}

func TestClientVanishesMidStream(t *testing.T) {
	t.Parallel()
	s := openConsole(t)
	s.sendStatus(wire.Continue, "nobody reads this")
	if err := s.conn.Close(); err != nil {
		t.Fatal(err)
	}
	receive(t, s.gone)
}

func TestServerClosesMidStream(t *testing.T) {
	t.Parallel()
	console := newConsole(t)
	backend := newBackend()
	backend.console = func(context.Context) (io.ReadWriteCloser, error) { return console, nil }
	server := serve(t, backend, Options{})
	c := server.open(t)
	c.must(proto.DomainOpenConsole, &libvirt.DomainOpenConsoleArgs{Dom: demo}, nil)
	if err := server.stop(); err != nil {
		t.Fatal(err)
	}
	c.ended()
	receive(t, console.gone)
}

// flood is an end that yields bytes without end and counts them.
type flood struct {
	mu   sync.Mutex // guards: read
	read int
	done chan struct{}
}

func (f *flood) Read(p []byte) (int, error) {
	select {
	case <-f.done:
		return 0, net.ErrClosed
	default:
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.read += len(p)
	return len(p), nil
}

func (f *flood) Write(p []byte) (int, error) { return len(p), nil }
func (f *flood) Close() error                { close(f.done); return nil }

func (f *flood) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.read
}

// A client that does not read stops the source, and only its own: once it
// reads again, everything comes, in packets that old clients can take.
func TestSlowReaderThrottlesTheSource(t *testing.T) {
	t.Parallel()
	source := &flood{done: make(chan struct{})}
	backend := newBackend()
	backend.console = func(context.Context) (io.ReadWriteCloser, error) { return source, nil }
	server := serve(t, backend, Options{})
	c := server.open(t)
	if err := c.conn.SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	c.must(proto.DomainOpenConsole, &libvirt.DomainOpenConsoleArgs{Dom: demo}, nil)

	// Other clients are served meanwhile; their calls are what time passes
	// by here.
	other := server.open(t)
	last := -1
	for count := source.count(); count != last; count = source.count() {
		last = count
		for range 200 {
			other.must(proto.ConnectGetType, nil, new(libvirt.ConnectGetTypeRet))
		}
	}
	const room = 4 << 20 // more than any socket's buffers
	if last > room {
		t.Fatalf("%d bytes were read ahead of the client", last)
	}
	for got := 0; got < 2*room; {
		h, payload := c.next()
		if h.Type != wire.Stream || h.Status != wire.Continue || len(payload) > wire.MaxStreamPayload {
			t.Fatalf("got %+v with %d bytes", h, len(payload))
		}
		got += len(payload)
	}
}

// The client may send more than the guest takes; what is beyond the bound
// waits in the client's socket and arrives in order.
func TestSlowSinkThrottlesTheClient(t *testing.T) {
	t.Parallel()
	s := openConsole(t)
	const packets, size = 60, 100 << 10
	var sending sync.WaitGroup
	sending.Go(func() {
		for i := range packets {
			h := s.header
			h.Status = wire.Continue
			packet := append(wire.Begin(nil, h), bytes.Repeat([]byte{byte(i)}, size)...)
			if err := errors.Join(wire.Finish(packet), s.writer.Write(packet)); err != nil {
				t.Error(err)
			}
		}
	})
	piece := make([]byte, size)
	for i := range packets {
		if _, err := io.ReadFull(s.guest, piece); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(piece, bytes.Repeat([]byte{byte(i)}, size)) {
			t.Fatalf("packet %d arrived damaged", i)
		}
	}
	sending.Wait()
	s.sendStatus(wire.OK, "")
	s.expect(wire.OK, "")
}

// A guest that takes nothing at all ends the stream of a client that waits for
// it, not the connection.
func TestSinkThatTakesNothing(t *testing.T) {
	t.Parallel()
	for name, wait := range map[string]func(*streaming){
		"client finishes":   func(s *streaming) { s.sendStatus(wire.OK, "") },
		"client sends more": func(s *streaming) { s.sendStatus(wire.Continue, strings.Repeat("x", maxUnwritten)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := openConsoleWith(t, newConsole(t), Options{stallLimit: 20 * time.Millisecond})
			s.sendStatus(wire.Continue, "nobody reads this")
			wait(s)
			s.expectError(libvirt.ErrOperationTimeout)
			s.closedOnce()
		})
	}
}
