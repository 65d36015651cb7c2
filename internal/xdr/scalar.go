package xdr

import (
	"math"
	"reflect"
	"strings"
	"unsafe"
)

// scalars are the types without parts.
var scalars = map[reflect.Kind]value{
	reflect.Int8: {
		least:  4,
		encode: func(e *encoder, p unsafe.Pointer) { e.word(uint32(*(*int8)(p))) },
		decode: func(d *decoder, p unsafe.Pointer) {
			// A C char that is unsigned on the sender's machine arrives
			// as 128 to 255.
			*(*int8)(p) = int8(d.integer(math.MinInt8, math.MaxUint8))
		},
	},
	reflect.Uint8: {
		least:  4,
		encode: func(e *encoder, p unsafe.Pointer) { e.word(uint32(*(*uint8)(p))) },
		decode: func(d *decoder, p unsafe.Pointer) { *(*uint8)(p) = uint8(d.integer(0, math.MaxUint8)) },
	},
	reflect.Uint16: {
		least:  4,
		encode: func(e *encoder, p unsafe.Pointer) { e.word(uint32(*(*uint16)(p))) },
		decode: func(d *decoder, p unsafe.Pointer) { *(*uint16)(p) = uint16(d.integer(0, math.MaxUint16)) },
	},
	reflect.Int32: {
		least:  4,
		encode: func(e *encoder, p unsafe.Pointer) { e.word(uint32(*(*int32)(p))) },
		decode: func(d *decoder, p unsafe.Pointer) { *(*int32)(p) = int32(d.word()) },
	},
	reflect.Uint32: {
		least:  4,
		encode: func(e *encoder, p unsafe.Pointer) { e.word(*(*uint32)(p)) },
		decode: func(d *decoder, p unsafe.Pointer) { *(*uint32)(p) = d.word() },
	},
	reflect.Int64: {
		least:  8,
		encode: func(e *encoder, p unsafe.Pointer) { e.hyper(uint64(*(*int64)(p))) },
		decode: func(d *decoder, p unsafe.Pointer) { *(*int64)(p) = int64(d.hyper()) },
	},
	reflect.Uint64: {
		least:  8,
		encode: func(e *encoder, p unsafe.Pointer) { e.hyper(*(*uint64)(p)) },
		decode: func(d *decoder, p unsafe.Pointer) { *(*uint64)(p) = d.hyper() },
	},
	reflect.String: {
		least:  4,
		encode: func(e *encoder, p unsafe.Pointer) { e.string(*(*string)(p)) },
		decode: func(d *decoder, p unsafe.Pointer) { *(*string)(p) = d.string() },
	},
}

// string writes a string. One that C could not hold, or that the receiver
// would refuse as too long, is an error.
func (e *encoder) string(s string) {
	if strings.IndexByte(s, 0) >= 0 {
		e.fail("the string holds a NUL")
		return
	}
	e.count(len(s), StringMax)
	e.text(s)
}

// string reads a string.
func (d *decoder) string() string {
	b := d.opaque(d.count(1, StringMax))
	if d.err != nil {
		return ""
	}
	s := string(b)
	if strings.IndexByte(s, 0) >= 0 {
		d.fail("the string holds a NUL")
	}
	return s
}
