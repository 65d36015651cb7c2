package dispatch

import (
	"strings"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/proto"
	"virtumld/internal/virerr"
	"virtumld/internal/wire"
	"virtumld/internal/xdr"
)

var errorPlan = planOf[proto.Error]()

// replyError answers the call or stream packet h with an error. Errors about
// a stream travel on the stream.
func (c *client) replyError(h wire.Header, err error) {
	reply := replyTo(h, wire.Error)
	if h.Type == wire.Stream {
		reply.Type = wire.Stream
	}
	buffer := wire.NewBuffer()
	defer buffer.Free()
	packet, encodeErr := errorPlan.Append(wire.Begin(buffer.Bytes, reply), errorPayload(virerr.From(err)))
	if encodeErr != nil {
		c.log.Error("cannot encode an error reply", "error", encodeErr, "reply", err)
		c.hangUp()
		return
	}
	buffer.Bytes = packet
	_ = c.write(packet) // a failure has ended the connection
}

// noInt is what libvirt sends where an error has no number.
const noInt = -1

// errorPayload is e as libvirt sends its own errors: the complete text, and
// format and detail beside it.
func errorPayload(e *virerr.Error) *proto.Error {
	payload := &proto.Error{
		Code:    int32(e.Code),
		Domain:  int32(e.Domain),
		Level:   proto.LevelError,
		Message: libvirt.OptString{sendable(e.Error())},
		Str1:    libvirt.OptString{sendable(e.Format())},
		Int1:    noInt,
		Int2:    noInt,
	}
	if e.Detail != "" {
		payload.Str2 = libvirt.OptString{sendable(e.Detail)}
	}
	if e.Code == libvirt.ErrSystemError && e.Int1 != 0 {
		payload.Int1 = e.Int1
	}
	return payload
}

// maxErrorText bounds the text of an error in bytes: it may quote what the
// client sent.
const maxErrorText = xdr.StringMax / 8

// sendable makes s fit into an XDR string.
func sendable(s string) string {
	if len(s) > maxErrorText {
		s = s[:maxErrorText] + "…"
	}
	return strings.ReplaceAll(s, "\x00", "\\0")
}
