package dispatch

import (
	"virtumld/internal/driver"
	"virtumld/internal/wire"
)

// uploadBuffers is how many packets of an upload are kept: one is written, one
// waits, one is read.
const uploadBuffers = 3

// uploadStream carries bytes from a client into one sink. The client's reading
// goroutine passes each packet on in the buffer that it was read into, so that
// the bytes are copied by the two system calls only.
type uploadStream struct {
	streamOf
	sink    driver.Upload
	pieces  chan piece    // from the client, in order
	free    chan []byte   // written, for the next packets
	aborted chan struct{} // closed by abort
	ended   chan struct{} // closed when run takes no more
}

// piece is one packet of an upload: data, else a hole, else the end.
type piece struct {
	data   []byte
	buffer []byte // that data lies in
	hole   streamHole
	end    bool
}

func newUploadStream(c *client, h wire.Header, sink driver.Upload) *uploadStream {
	return &uploadStream{
		streamOf: streamOf{c, h}, sink: sink,
		pieces: make(chan piece, 1), free: make(chan []byte, uploadBuffers),
		aborted: make(chan struct{}), ended: make(chan struct{}),
	}
}

func (s *uploadStream) discard() { s.closed(s.sink.Close()) }

func (s *uploadStream) run() {
	err := s.writeAll()
	close(s.ended)
	s.closed(s.sink.Close())
	s.client.streams.remove(s)
	s.sendLast(err)
}

// writeAll writes what the client sends until the client ends the stream or
// the sink fails. Only a client that finishes has the sink finished.
func (s *uploadStream) writeAll() error {
	for {
		select {
		case <-s.aborted:
			return nil
		case p := <-s.pieces:
			if p.end {
				return s.sink.Finish()
			}
			if err := s.write(p); err != nil {
				return err
			}
		}
	}
}

func (s *uploadStream) write(p piece) error {
	if p.data == nil {
		if err := p.hole.check(); err != nil {
			return err
		}
		return s.sink.Hole(p.hole.Length)
	}
	_, err := s.sink.Write(p.data)
	s.recycle(p.buffer)
	return err
}

// recycle keeps a buffer for the next packet, unless it is one of a packet
// larger than clients usually send.
func (s *uploadStream) recycle(buffer []byte) {
	if len(buffer) > 2*wire.MaxStreamPayload {
		return
	}
	select {
	case s.free <- buffer:
	default:
	}
}

func (s *uploadStream) receive(payload []byte) {
	var next []byte
	select {
	case next = <-s.free:
	default:
		next = make([]byte, wire.MinPacket+wire.MaxStreamPayload)
	}
	s.put(piece{data: payload, buffer: s.client.reader.Swap(next)})
}

func (s *uploadStream) hole(payload []byte) error {
	if !s.sink.Sparse {
		return errHole
	}
	hole, err := decodeHole(payload)
	if err != nil {
		return err
	}
	s.put(piece{hole: hole})
	return nil
}

func (s *uploadStream) finish() { s.put(piece{end: true}) }

// put waits until the sink has caught up. What comes behind an ending is
// dropped.
func (s *uploadStream) put(p piece) {
	select {
	case s.pieces <- p:
	case <-s.ended:
	case <-s.client.ctx.Done():
	}
}

func (s *uploadStream) abort() {
	select {
	case <-s.aborted:
	default:
		close(s.aborted)
	}
}
