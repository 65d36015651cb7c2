package mconsole

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// Sizes and numbers of arch/um/drivers/mconsole.h. All integers are the
// host's own byte order.
const (
	magic   = 0xcafebabe
	version = 2
	maxData = 512

	requestHeader = 12 // magic, version, len
	replyHeader   = 12 // err, more, len
	notifyHeader  = 16 // magic, version, type, len

	// MaxCommand is the longest command that a kernel takes, in bytes: it
	// refuses a length of 512 because it adds a NUL.
	MaxCommand = maxData - 1
)

// order is the byte order of the machine, which guest and host share.
var order = binary.NativeEndian

// appendRequest appends the packet that asks for command, which the caller has
// checked against MaxCommand.
func appendRequest(b []byte, command string) []byte {
	b = order.AppendUint32(b, magic)
	b = order.AppendUint32(b, version)
	b = order.AppendUint32(b, uint32(len(command)))
	return append(b, command...)
}

// appendReply appends the packet that answers a request in one datagram. A text
// too long for it is cut.
func appendReply(b []byte, code int32, text string) []byte {
	text = text[:min(len(text), MaxCommand)]
	b = order.AppendUint32(b, uint32(code))
	b = order.AppendUint32(b, 0)
	b = order.AppendUint32(b, uint32(len(text)+1))
	b = append(b, text...)
	return append(b, 0)
}

// fragment is one datagram of a reply.
type fragment struct {
	err  int32
	more bool
	data []byte // without the closing NUL; aliases the packet
}

// parseReply reads one datagram of a reply. A kernel that did not recognise
// the request's magic answers in bare text, which is an error here.
func parseReply(packet []byte) (fragment, error) {
	if bytes.HasPrefix(packet, []byte("ERR ")) {
		return fragment{}, fmt.Errorf("mconsole: the guest refused the packet: %q", packet)
	}
	if len(packet) < replyHeader {
		return fragment{}, fmt.Errorf("mconsole: reply of %d bytes, shorter than its header", len(packet))
	}
	length := order.Uint32(packet[8:])
	data := packet[replyHeader:]
	if uint64(length) > uint64(len(data)) {
		return fragment{}, fmt.Errorf("mconsole: reply says %d bytes of text but carries %d", length, len(data))
	}
	data = bytes.TrimSuffix(data[:length], []byte{0})
	return fragment{
		err:  int32(order.Uint32(packet)),
		more: order.Uint32(packet[4:]) != 0,
		data: data,
	}, nil
}
