package dispatch

import (
	"errors"
	"fmt"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/virerr"
)

// errHole is a hole where the client has not said that holes may come; libvirt
// ends such a connection as well.
var errHole = errors.New("hole in a stream that was not opened as sparse")

// streamHole is the payload of a HOLE packet, virNetStreamHole of
// src/rpc/virnetprotocol.x.
type streamHole struct {
	Length int64 // in bytes
	Flags  uint32
}

var holePlan = planOf[streamHole]()

// decodeHole reads a HOLE packet's payload. An error ends the connection, as
// the two sides no longer agree on where in the stream they are.
func decodeHole(payload []byte) (streamHole, error) {
	var hole streamHole
	if err := holePlan.Decode(payload, &hole); err != nil {
		return hole, fmt.Errorf("cannot decode a hole in a stream: %w", err)
	}
	return hole, nil
}

// check refuses a hole that makes no sense, as virStreamSendHole does.
func (h streamHole) check() error {
	switch {
	case h.Flags != 0:
		return virerr.In(virerr.Streams, libvirt.ErrInvalidArg, "unsupported flags (0x%x) in function virStreamSendHole", h.Flags)
	case h.Length <= 0:
		return virerr.In(virerr.Streams, libvirt.ErrInvalidArg, "length in virStreamSendHole must be greater than zero")
	default:
		return nil
	}
}

// appendHole appends the payload of a HOLE packet.
func appendHole(packet []byte, length int64) ([]byte, error) {
	return holePlan.Append(packet, &streamHole{Length: length})
}
