package dispatch

import (
	"errors"
	"io"
	"sync"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/virerr"
	"virtumld/internal/wire"
)

const (
	// streamBuffer is how many bytes are read from a source at a time,
	// below wire.MaxStreamPayload.
	streamBuffer = 64 << 10
	// maxUnwritten is how many bytes from the client may wait for a slow
	// sink before the client is read no further.
	maxUnwritten = 1 << 20
	// defaultStallLimit is how long a sink may take nothing while the
	// client waits for it. Clients ping for 30 s before they give a server
	// up.
	defaultStallLimit = 10 * time.Second
)

// ending is how a client ends a stream.
type ending uint8

const (
	notEnding ending = iota
	finishing        // after what was sent is written
	aborting         // at once
)

// duplexStream carries bytes both ways between a client and one end, such as a
// console. run writes what the client sends; a goroutine beside it reads what
// the client gets.
type duplexStream struct {
	streamOf
	end   io.ReadWriteCloser
	once  sync.Once     // closes end
	wake  chan struct{} // holds one: there is something to write, or an ending
	room  chan struct{} // holds one: something was written
	ended chan struct{} // closed when run returns

	mu       sync.Mutex // guards what follows
	received [][]byte   // from the client, to be written to end
	waiting  int        // bytes in received, the piece being written included
	ending   ending
	stalled  bool
	deadline *time.Timer // of a finish, or nil
}

func newDuplexStream(c *client, h wire.Header, end io.ReadWriteCloser) *duplexStream {
	return &duplexStream{
		streamOf: streamOf{c, h}, end: end,
		wake: make(chan struct{}, 1), room: make(chan struct{}, 1), ended: make(chan struct{}),
	}
}

// run carries bytes until either side ends the stream.
func (s *duplexStream) run() {
	defer close(s.ended)
	source := make(chan error, 1)
	go func() {
		defer close(source)
		source <- s.sendAll()
	}()
	err := s.writeAll(source)
	s.close() // ends sendAll's Read
	for range source {
		// What it says now comes of the close.
	}
	s.client.streams.remove(s)
	s.stopDeadline()
	s.sendLast(s.verdict(err))
}

// close closes the end, once: a console's second Close would hit its next
// holder.
func (s *duplexStream) close() {
	s.once.Do(func() { s.closed(s.end.Close()) })
}

func (s *duplexStream) discard() { s.close() }

// writeAll writes what the client sends until the client ends the stream or
// either direction fails. The source's own end is no end of the stream: the
// client confirms it by finishing.
func (s *duplexStream) writeAll(source <-chan error) error {
	for {
		piece, ending := s.next()
		switch {
		case ending == aborting:
			return nil
		case piece != nil:
			if _, err := s.end.Write(piece); err != nil {
				return virerr.In(virerr.Streams, libvirt.ErrOperationFailed, "cannot write to stream: %w", err)
			}
			s.written(len(piece))
			continue
		case ending == finishing:
			return nil
		}
		select {
		case <-s.wake:
		case err := <-source:
			if err != nil {
				return err
			}
			source = nil
		}
	}
}

// next takes the oldest piece that waits to be written.
func (s *duplexStream) next() ([]byte, ending) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.received) == 0 {
		return nil, s.ending
	}
	piece := s.received[0]
	s.received[0] = nil
	s.received = s.received[1:]
	return piece, s.ending
}

// written makes room for the next piece.
func (s *duplexStream) written(n int) {
	s.mu.Lock()
	s.waiting -= n
	s.mu.Unlock()
	signal(s.room)
}

// verdict is the error that the client gets for err, if any: what a close of
// our own has caused is not the reason.
func (s *duplexStream) verdict(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.stalled:
		return virerr.In(virerr.Streams, libvirt.ErrOperationTimeout,
			"the other end of the stream has taken no data for %v", s.client.server.options.stallLimit)
	case s.ending == aborting:
		return nil
	default:
		return err
	}
}

// sendAll sends what the end yields, one packet after the other: while the
// client does not read, nothing is read here either. An empty packet tells
// the client that there is no more.
func (s *duplexStream) sendAll() error {
	packet := s.packet(wire.Stream, wire.Continue, streamBuffer)
	room := packet[wire.MinPacket:cap(packet)]
	for {
		n, err := s.end.Read(room)
		if n > 0 && s.client.write(packet[:wire.MinPacket+n]) != nil {
			return nil // nobody is there to be told
		}
		switch {
		case errors.Is(err, io.EOF):
			_ = s.client.write(packet) // a failure has ended the connection
			return nil
		case err != nil:
			return err
		}
	}
}

// What the client's reading goroutine does to a stream.

// receive takes data from the client.
func (s *duplexStream) receive(payload []byte) {
	piece := append([]byte(nil), payload...)
	if s.put(piece) {
		return
	}
	stalled := time.NewTimer(s.client.server.options.stallLimit)
	defer stalled.Stop()
	for !s.put(piece) {
		select {
		case <-s.room:
		case <-s.ended:
			return
		case <-stalled.C:
			s.stall()
			return
		}
	}
}

// put queues a piece unless too much waits already. What comes behind an
// ending is dropped.
func (s *duplexStream) put(piece []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending != notEnding || s.stalled {
		return true
	}
	if s.waiting > 0 && s.waiting+len(piece) > maxUnwritten {
		return false
	}
	s.received = append(s.received, piece)
	s.waiting += len(piece)
	signal(s.wake)
	return true
}

// hole refuses a hole: this stream has no positions.
func (s *duplexStream) hole([]byte) error { return errHole }

// finish ends the stream once everything is written.
func (s *duplexStream) finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending != notEnding {
		return
	}
	s.ending = finishing
	s.deadline = time.AfterFunc(s.client.server.options.stallLimit, s.stall)
	signal(s.wake)
}

// abort ends the stream at once.
func (s *duplexStream) abort() {
	s.mu.Lock()
	s.ending = aborting
	s.mu.Unlock()
	s.close()
	signal(s.wake)
}

// stall gives up an end that takes nothing.
func (s *duplexStream) stall() {
	s.mu.Lock()
	s.stalled = true
	s.mu.Unlock()
	s.close()
	signal(s.wake)
}

func (s *duplexStream) stopDeadline() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.deadline != nil {
		s.deadline.Stop()
	}
}

// signal puts one token into a channel that holds one.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
