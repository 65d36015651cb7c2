// Package wire carries libvirt's RPC packets over a byte stream: a length
// word, a header of six words and a payload (libvirt's
// src/rpc/virnetprotocol.x). It keeps the limits of that format and knows
// neither programs nor what a payload means. Packets that pass file
// descriptors are not supported.
package wire

import (
	"encoding/binary"
	"fmt"
	"sync"
)

// Sizes in bytes.
const (
	// LengthSize is the length word, which counts itself.
	LengthSize = 4
	// HeaderSize is the header, VIR_NET_MESSAGE_HEADER_MAX.
	HeaderSize = 24
	// MinPacket is a packet without a payload.
	MinPacket = LengthSize + HeaderSize
	// MaxPacket is VIR_NET_MESSAGE_MAX and the length word.
	MaxPacket = 32<<20 + LengthSize
	// MaxStreamPayload is what one stream packet from a server carries at
	// most, VIR_NET_MESSAGE_LEGACY_PAYLOAD_MAX: old clients take no more.
	MaxStreamPayload = 262120
)

// Type is a packet's type, virNetMessageType.
type Type uint32

// The packet types.
const (
	Call         Type = 0
	Reply        Type = 1
	Message      Type = 2
	Stream       Type = 3
	CallWithFDs  Type = 4
	ReplyWithFDs Type = 5
	StreamHole   Type = 6
)

// Status is a packet's status, virNetMessageStatus.
type Status uint32

// The packet statuses.
const (
	OK       Status = 0
	Error    Status = 1
	Continue Status = 2
)

// Header is a packet's header.
type Header struct {
	Program   uint32
	Version   uint32
	Procedure int32
	Type      Type
	Serial    uint32
	Status    Status
}

// Begin appends the length word, still empty, and h to buf, which must be
// empty. The payload is appended next, then Finish is called.
func Begin(buf []byte, h Header) []byte {
	buf = binary.BigEndian.AppendUint32(buf, 0)
	buf = binary.BigEndian.AppendUint32(buf, h.Program)
	buf = binary.BigEndian.AppendUint32(buf, h.Version)
	buf = binary.BigEndian.AppendUint32(buf, uint32(h.Procedure))
	buf = binary.BigEndian.AppendUint32(buf, uint32(h.Type))
	buf = binary.BigEndian.AppendUint32(buf, h.Serial)
	return binary.BigEndian.AppendUint32(buf, uint32(h.Status))
}

// Finish writes the length word of packet. It refuses a packet that no
// receiver would take.
func Finish(packet []byte) error {
	if len(packet) > MaxPacket {
		return fmt.Errorf("packet of %d bytes is larger than %d", len(packet), MaxPacket)
	}
	binary.BigEndian.PutUint32(packet, uint32(len(packet)))
	return nil
}

// parseHeader reads the header behind a packet's length word.
func parseHeader(b []byte) Header {
	word := func(i int) uint32 { return binary.BigEndian.Uint32(b[4*i:]) }
	return Header{
		Program:   word(0),
		Version:   word(1),
		Procedure: int32(word(2)),
		Type:      Type(word(3)),
		Serial:    word(4),
		Status:    Status(word(5)),
	}
}

// keepBuffer is the largest buffer in bytes that is kept for the next packet.
const keepBuffer = 64 << 10

var buffers = sync.Pool{New: func() any { return &Buffer{Bytes: make([]byte, 0, 1024)} }}

// Buffer is room for building one packet.
type Buffer struct{ Bytes []byte }

// NewBuffer returns an empty buffer; give it back with Free.
func NewBuffer() *Buffer {
	b := buffers.Get().(*Buffer)
	b.Bytes = b.Bytes[:0]
	return b
}

// Free gives the buffer back; its bytes must not be used any more.
func (b *Buffer) Free() {
	if cap(b.Bytes) <= keepBuffer {
		buffers.Put(b)
	}
}
