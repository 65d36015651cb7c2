package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// firstBuffer is a reader's first buffer in bytes: nearly every call fits,
// and an idle connection costs little.
const firstBuffer = 4 << 10

// ErrLength says that a length word names an impossible size. The stream is
// out of step and of no more use.
var ErrLength = errors.New("impossible packet length")

// Reader reads packets from one connection. It is for one goroutine.
type Reader struct {
	source io.Reader
	limit  int // of a packet's length
	buf    []byte
	start  int  // of what is not consumed yet
	end    int  // of what was read
	keep   bool // buf was given by Swap just now
}

// NewReader makes a Reader of source.
func NewReader(source io.Reader) *Reader {
	return &Reader{source: source, limit: MaxPacket, buf: make([]byte, firstBuffer)}
}

// Limit sets how long a packet may be from the next one on, in bytes; at first
// that is MaxPacket.
func (r *Reader) Limit(n int) { r.limit = n }

// Next returns the next packet. The payload is valid until the next call. At
// the clean end of the stream the error is io.EOF, inside a packet
// io.ErrUnexpectedEOF.
func (r *Reader) Next() (Header, []byte, error) {
	r.shrink()
	if err := r.fill(LengthSize); err != nil {
		return Header{}, nil, err
	}
	length := binary.BigEndian.Uint32(r.buf[r.start:])
	if length < MinPacket || uint64(length) > uint64(r.limit) {
		return Header{}, nil, fmt.Errorf("%w: %d bytes", ErrLength, length)
	}
	if err := r.fill(int(length)); err != nil {
		return Header{}, nil, err
	}
	packet := r.buf[r.start : r.start+int(length)]
	r.start += int(length)
	return parseHeader(packet[LengthSize:]), packet[MinPacket:], nil
}

// Swap makes the reader go on in another buffer and returns its present one:
// the last packet's payload, which lies in it, stays valid. next is such a
// buffer that is of no more use, or nil.
func (r *Reader) Swap(next []byte) []byte {
	old := r.buf
	unread := old[r.start:r.end]
	if least := max(len(unread), firstBuffer); len(next) < least {
		next = make([]byte, least)
	}
	r.buf, r.start, r.end, r.keep = next, 0, copy(next, unread), true
	return old
}

// fill reads until n bytes are in the buffer. The buffer grows by doubling as
// bytes arrive, so that a length word alone costs no memory.
func (r *Reader) fill(n int) error {
	for r.end-r.start < n {
		if r.start+n > len(r.buf) {
			r.makeRoom(n)
		}
		got, err := r.source.Read(r.buf[r.end:])
		r.end += got
		if err != nil && r.end-r.start < n {
			if errors.Is(err, io.EOF) && r.end > r.start {
				return io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}

// makeRoom moves what is not consumed to the front and, when the buffer is
// full even so, takes one up to twice as large.
func (r *Reader) makeRoom(n int) {
	target := r.buf
	held := r.end - r.start
	if r.start == 0 && held < len(r.buf) {
		return
	}
	if n > len(r.buf) && held == len(r.buf) {
		target = make([]byte, min(n, 2*len(r.buf)))
	}
	copy(target, r.buf[r.start:r.end])
	r.buf, r.start, r.end = target, 0, held
}

// shrink drops a large buffer once its packet is consumed, but not one that
// Swap has given for the next packet.
func (r *Reader) shrink() {
	held := r.end - r.start
	if held == 0 {
		r.start, r.end = 0, 0
	}
	if r.keep {
		r.keep = false
		return
	}
	if len(r.buf) > keepBuffer && held < firstBuffer {
		small := make([]byte, firstBuffer)
		copy(small, r.buf[r.start:r.end])
		r.buf, r.start, r.end = small, 0, held
	}
}
