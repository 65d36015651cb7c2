package dispatch

import (
	"virtumld/internal/wire"
)

// openStream is what a connection does to a stream. run owns the stream: it
// carries the bytes, closes the stream's end and sends the stream's last
// packet. The other methods are called by the client's reading goroutine and
// at the end of the connection.
type openStream interface {
	// opened is the header of the call that opened the stream.
	opened() wire.Header
	// discard closes the end of a stream that will not run.
	discard()
	run()
	// receive takes data from the client; payload is valid during the call.
	// It waits while the stream's end is slow, and with it the client.
	receive(payload []byte)
	// hole takes a hole from the client. An error ends the connection.
	hole(payload []byte) error
	// finish ends the stream once everything received is written.
	finish()
	// abort ends the stream at once.
	abort()
}

// newStream makes the stream of a call that has opened an end for it.
type newStream func(c *client, h wire.Header) openStream

// streamOf is what all streams have in common.
type streamOf struct {
	client *client
	header wire.Header // of the call that opened it
}

func (s streamOf) opened() wire.Header { return s.header }

// packet begins a packet of the stream with room for so many bytes more.
func (s streamOf) packet(kind wire.Type, status wire.Status, room int) []byte {
	header := s.header
	header.Type, header.Status = kind, status
	return wire.Begin(make([]byte, 0, wire.MinPacket+room), header)
}

// sendLast confirms the client's ending, or tells it the stream's own.
func (s streamOf) sendLast(err error) {
	header := s.header
	header.Type, header.Status = wire.Stream, wire.OK
	if err != nil {
		s.client.replyError(header, err)
		return
	}
	_ = s.client.send(header, nil) // a failure has ended the connection
}

// closed notes what Close of the stream's end said: nobody can be told.
func (s streamOf) closed(err error) {
	if err != nil {
		s.client.log.Debug("cannot close the end of a stream", "error", err)
	}
}
