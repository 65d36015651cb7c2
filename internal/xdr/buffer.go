package xdr

import (
	"encoding/binary"
	"slices"
	"sync"
)

// encoders and decoders spare each call an allocation: the plans' functions
// take them by pointer.
var (
	encoders = sync.Pool{New: func() any { return new(encoder) }}
	decoders = sync.Pool{New: func() any { return new(decoder) }}
)

// padding is the number of zero bytes after n bytes of opaque data.
func padding(n int) int { return -n & 3 }

// encoder appends to buf. After the first error it stays in that state and
// what buf holds no longer matters.
type encoder struct {
	buf []byte
	err *Error
}

func (e *encoder) fail(format string, args ...any) {
	if e.err == nil {
		e.err = newError(format, args...)
	}
}

func (e *encoder) word(v uint32)  { e.buf = binary.BigEndian.AppendUint32(e.buf, v) }
func (e *encoder) hyper(v uint64) { e.buf = binary.BigEndian.AppendUint64(e.buf, v) }

// count writes the length of a list that may have at most limit elements, 0
// for any number.
func (e *encoder) count(n, limit int) {
	if limit > 0 && n > limit {
		e.fail("%d elements, at most %d fit", n, limit)
		return
	}
	e.word(uint32(n))
}

// room adds n bytes to buf and returns them, to be filled.
func (e *encoder) room(n int) []byte {
	old := len(e.buf)
	if cap(e.buf)-old < n {
		e.buf = slices.Grow(e.buf, n)
	}
	e.buf = e.buf[:old+n]
	return e.buf[old:]
}

func (e *encoder) opaque(b []byte) {
	to := e.room(len(b) + padding(len(b)))
	clear(to[copy(to, b):])
}

func (e *encoder) text(s string) {
	to := e.room(len(s) + padding(len(s)))
	clear(to[copy(to, s):])
}

// decoder reads data from off on. After the first error every read gives a
// zero value and the error stays.
type decoder struct {
	data []byte
	off  int
	err  *Error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = newError(format, args...)
	}
}

func (d *decoder) left() int { return len(d.data) - d.off }

// take returns the next n bytes, or nil when they are not there.
func (d *decoder) take(n int) []byte {
	if d.err != nil {
		return nil
	}
	if d.left() < n {
		d.fail("%d bytes needed, %d left", n, d.left())
		return nil
	}
	b := d.data[d.off : d.off+n]
	d.off += n
	return b
}

func (d *decoder) word() uint32 {
	b := d.take(4)
	if b == nil {
		return 0
	}
	return binary.BigEndian.Uint32(b)
}

func (d *decoder) hyper() uint64 {
	b := d.take(8)
	if b == nil {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

// integer reads a number that must lie between low and high.
func (d *decoder) integer(low, high int32) int32 {
	v := int32(d.word())
	if v < low || v > high {
		d.fail("%d is out of range", v)
		return 0
	}
	return v
}

// count reads the length of a list whose elements take at least size bytes
// each. It may have at most limit elements, 0 for as many as there are bytes.
func (d *decoder) count(size, limit int) int {
	n := d.word()
	if d.err != nil {
		return 0
	}
	if limit > 0 && uint64(n) > uint64(limit) {
		d.fail("%d elements, at most %d are allowed", n, limit)
		return 0
	}
	if uint64(n)*uint64(size) > uint64(d.left()) {
		d.fail("%d elements announced, %d bytes left", n, d.left())
		return 0
	}
	return int(n)
}

// opaque returns the next n bytes and passes over their padding. The bytes
// are the packet's own: copy them.
func (d *decoder) opaque(n int) []byte {
	b := d.take(n)
	for _, zero := range d.take(padding(n)) {
		if zero != 0 {
			d.fail("the padding is not zero")
			return nil
		}
	}
	return b
}
