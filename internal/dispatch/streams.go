package dispatch

import (
	"sync"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/virerr"
	"virtumld/internal/wire"
)

// maxStreams is how many streams a client may have open at a time. A stream
// keeps up to 1 MiB and a file or a console open for as long as its client
// likes.
const maxStreams = 128

// streams are a client's open streams. A stream is named by the serial of the
// call that opened it.
type streams struct {
	mu     sync.Mutex // guards what follows
	open   map[uint32]openStream
	closed bool
}

// start replies to the call h that opened a stream and starts it. On an error
// the stream is discarded.
func (s *streams) start(c *client, h wire.Header, begin newStream) error {
	stream := begin(c, h)
	if err := s.add(stream); err != nil {
		stream.discard()
		return err
	}
	// The client may send data as soon as it has the reply, so the stream
	// is known before; its own data comes after.
	if c.send(replyTo(h, wire.OK), nil) != nil {
		stream.abort() // nobody is there to be told
	}
	c.group.Go(stream.run)
	return nil
}

func (s *streams) add(stream openStream) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	serial := stream.opened().Serial
	switch {
	case s.closed:
		return virerr.In(virerr.Streams, libvirt.ErrOperationAborted, "the connection is closed")
	case s.open[serial] != nil:
		return virerr.In(virerr.RPC, libvirt.ErrRPC, "a stream with serial %d is open already", serial)
	case len(s.open) == maxStreams:
		return virerr.In(virerr.Streams, libvirt.ErrResourceBusy,
			"the connection has %d open streams already, which is the limit: end one of them, or open another connection", maxStreams)
	case s.open == nil:
		s.open = make(map[uint32]openStream)
	}
	s.open[serial] = stream
	return nil
}

func (s *streams) remove(stream openStream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, stream.opened().Serial)
}

// find returns the stream that a packet belongs to, or nil.
func (s *streams) find(h wire.Header) openStream {
	s.mu.Lock()
	defer s.mu.Unlock()
	stream := s.open[h.Serial]
	if stream == nil {
		return nil
	}
	if opened := stream.opened(); opened.Program != h.Program || opened.Procedure != h.Procedure {
		return nil
	}
	return stream
}

// packet takes a stream packet from the client. One for a stream that has
// ended is dropped: the client could not know yet. An error ends the
// connection.
func (s *streams) packet(h wire.Header, payload []byte) error {
	stream := s.find(h)
	switch {
	case stream == nil:
	case h.Type == wire.StreamHole:
		return stream.hole(payload)
	case h.Status == wire.Continue:
		if len(payload) > 0 {
			stream.receive(payload)
		}
	case h.Status == wire.OK:
		stream.finish()
	default:
		stream.abort()
	}
	return nil
}

// abort ends every stream and allows no new one.
func (s *streams) abort() {
	s.mu.Lock()
	s.closed = true
	all := make([]openStream, 0, len(s.open))
	for _, stream := range s.open {
		all = append(all, stream)
	}
	s.mu.Unlock()
	for _, stream := range all {
		stream.abort()
	}
}
