package xdr

import (
	"errors"
	"reflect"
	"unsafe"
)

// sliceHeader is the memory of any slice, for reading its elements.
type sliceHeader struct {
	data unsafe.Pointer
	len  int
	cap  int
}

// compileSlice compiles a list: its count, then its elements. limit is the
// most elements, 0 for as many as the packet holds.
func (c *Codec) compileSlice(t reflect.Type, limit int) (value, error) {
	if t.Elem().Kind() == reflect.Uint8 {
		return opaqueSlice(limit), nil
	}
	elem, err := c.compile(t.Elem(), 0)
	if err != nil {
		return value{}, err
	}
	if elem.least == 0 {
		return value{}, errors.New("a list of elements without bytes cannot be bounded")
	}
	size := t.Elem().Size()
	return value{
		least: 4,
		encode: func(e *encoder, p unsafe.Pointer) {
			s := (*sliceHeader)(p)
			e.count(s.len, limit)
			for i := 0; i < s.len && e.err == nil; i++ {
				elem.encode(e, unsafe.Add(s.data, uintptr(i)*size))
				if e.err != nil {
					e.err.element(i)
				}
			}
		},
		decode: func(d *decoder, p unsafe.Pointer) {
			n := d.count(elem.least, limit)
			if d.err != nil {
				return
			}
			reflect.NewAt(t, p).Elem().Set(reflect.MakeSlice(t, n, n))
			data := (*sliceHeader)(p).data
			for i := 0; i < n && d.err == nil; i++ {
				elem.decode(d, unsafe.Add(data, uintptr(i)*size))
				if d.err != nil {
					d.err.element(i)
				}
			}
		},
	}, nil
}

// compileOptional compiles an optional value: a word that says whether it is
// there, then the value. As in C, any word but zero says yes; go-libvirt's own
// client sends 0x01000000 when it opens a connection.
func (c *Codec) compileOptional(t reflect.Type) (value, error) {
	elem, err := c.compile(t.Elem(), 0)
	if err != nil {
		return value{}, err
	}
	return value{
		least: 4,
		encode: func(e *encoder, p unsafe.Pointer) {
			s := (*sliceHeader)(p)
			e.count(s.len, 1)
			if s.len == 1 {
				elem.encode(e, s.data)
			}
		},
		decode: func(d *decoder, p unsafe.Pointer) {
			n := 0
			if d.word() != 0 {
				n = 1
			}
			if d.err != nil {
				return
			}
			reflect.NewAt(t, p).Elem().Set(reflect.MakeSlice(t, n, n))
			if n == 1 {
				elem.decode(d, (*sliceHeader)(p).data)
			}
		},
	}, nil
}

// compileArray compiles an array: opaque bytes, or each element without a
// count.
func (c *Codec) compileArray(t reflect.Type) (value, error) {
	n := t.Len()
	if t.Elem().Kind() == reflect.Uint8 {
		return opaqueArray(n), nil
	}
	elem, err := c.compile(t.Elem(), 0)
	if err != nil {
		return value{}, err
	}
	size := t.Elem().Size()
	return value{
		least: n * elem.least,
		encode: func(e *encoder, p unsafe.Pointer) {
			for i := 0; i < n && e.err == nil; i++ {
				elem.encode(e, unsafe.Add(p, uintptr(i)*size))
			}
		},
		decode: func(d *decoder, p unsafe.Pointer) {
			for i := 0; i < n && d.err == nil; i++ {
				elem.decode(d, unsafe.Add(p, uintptr(i)*size))
			}
		},
	}, nil
}

// opaqueSlice is opaque<limit>: a count, the bytes, the padding.
func opaqueSlice(limit int) value {
	return value{
		least: 4,
		encode: func(e *encoder, p unsafe.Pointer) {
			b := *(*[]byte)(p)
			e.count(len(b), limit)
			e.opaque(b)
		},
		decode: func(d *decoder, p unsafe.Pointer) {
			n := d.count(1, limit)
			b := d.opaque(n)
			if d.err == nil {
				*(*[]byte)(p) = append(make([]byte, 0, n), b...)
			}
		},
	}
}

// opaqueArray is opaque[n]: the bytes and the padding.
func opaqueArray(n int) value {
	return value{
		least: n + padding(n),
		encode: func(e *encoder, p unsafe.Pointer) {
			e.opaque(unsafe.Slice((*byte)(p), n))
		},
		decode: func(d *decoder, p unsafe.Pointer) {
			copy(unsafe.Slice((*byte)(p), n), d.opaque(n))
		},
	}
}
