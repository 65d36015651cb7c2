package dispatch

import (
	"errors"
	"io"
	"sync"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/driver"
	"virtumld/internal/virerr"
	"virtumld/internal/wire"
)

// downloadStream carries bytes from one source to a client, read straight into
// the packet that is sent. While the client does not read, the source is not
// read either.
type downloadStream struct {
	streamOf
	source driver.Download
	once   sync.Once     // closes ended
	ended  chan struct{} // the client has ended the stream
	err    error         // set before ended is closed: what the client is told
}

func newDownloadStream(c *client, h wire.Header, source driver.Download) *downloadStream {
	return &downloadStream{streamOf: streamOf{c, h}, source: source, ended: make(chan struct{})}
}

func (s *downloadStream) discard() { s.closed(s.source.Close()) }

func (s *downloadStream) run() {
	err := s.sendAll()
	// Clients may remove the volume as soon as they have all of it.
	s.closed(s.source.Close())
	if err == nil {
		err = s.write(s.packet(wire.Stream, wire.Continue, 0)) // there is no more
	}
	if err == nil || errors.Is(err, errStop) {
		<-s.ended // the end of the data is no end of the stream
		err = s.err
	}
	s.client.streams.remove(s)
	s.sendLast(err)
}

// errStop is why no more is sent when the client is the reason.
var errStop = errors.New("the client wants no more")

// sendAll sends the source's content.
func (s *downloadStream) sendAll() error {
	packet := s.packet(wire.Stream, wire.Continue, wire.MaxStreamPayload)
	send := s.sendData
	if s.source.Sparse {
		send = s.sendExtents
	}
	return send(packet)
}

// sendExtents sends the source's data and, between them, its holes.
func (s *downloadStream) sendExtents(packet []byte) error {
	for {
		data, length, err := s.source.NextExtent()
		switch {
		case err != nil:
			return err
		case length == 0:
			return nil
		case data:
			err = s.sendExtent(packet, length)
		default:
			err = s.sendHole(length)
		}
		if err != nil {
			return err
		}
	}
}

// sendExtent sends the next length bytes, all of them data, or what is left of
// them when the source has got shorter.
func (s *downloadStream) sendExtent(packet []byte, length int64) error {
	for length > 0 {
		n, err := s.sendOne(packet, length)
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		length -= int64(n)
	}
	return nil
}

func (s *downloadStream) sendHole(length int64) error {
	packet, err := appendHole(s.packet(wire.StreamHole, wire.Continue, 12), length)
	if err != nil {
		return err
	}
	if err := s.write(packet); err != nil {
		return err
	}
	return s.source.SkipHole(length)
}

// sendData sends everything, holes as the zeros that they read as.
func (s *downloadStream) sendData(packet []byte) error {
	for {
		if _, err := s.sendOne(packet, wire.MaxStreamPayload); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// sendOne reads at most limit bytes behind packet's header and sends them.
func (s *downloadStream) sendOne(packet []byte, limit int64) (int, error) {
	room := packet[wire.MinPacket : wire.MinPacket+min(limit, wire.MaxStreamPayload)]
	n, err := s.source.Read(room)
	if n > 0 {
		if err := s.write(packet[:wire.MinPacket+n]); err != nil {
			return n, err
		}
	}
	return n, err
}

// write sends a packet unless the client has ended the stream.
func (s *downloadStream) write(packet []byte) error {
	select {
	case <-s.ended:
		return errStop
	default:
	}
	if s.client.write(packet) != nil {
		return errStop // nobody is there to be told
	}
	return nil
}

// end ends the stream; err is what the client is told, if anything.
func (s *downloadStream) end(err error) {
	s.once.Do(func() {
		s.err = err
		close(s.ended)
	})
}

func (s *downloadStream) finish() { s.end(nil) }
func (s *downloadStream) abort()  { s.end(nil) }

func (s *downloadStream) receive([]byte) { s.end(errReadOnlyStream()) }

func (s *downloadStream) hole([]byte) error {
	if !s.source.Sparse {
		return errHole
	}
	s.end(errReadOnlyStream())
	return nil
}

func errReadOnlyStream() error {
	return virerr.In(virerr.Streams, libvirt.ErrOperationInvalid, "cannot write to stream: it is a download")
}
