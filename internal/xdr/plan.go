package xdr

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
	"unsafe"

	libvirt "github.com/digitalocean/go-libvirt"
)

// StringMax is the longest string in bytes, libvirt's REMOTE_STRING_MAX and
// VIR_NET_MESSAGE_STRING_MAX.
const StringMax = 4 << 20

// Limits holds the most elements a list field may have, by "Type.Field". A
// list without a limit is bounded by the packet alone.
type Limits map[string]int

// Codec compiles types into plans and keeps them. It is safe for concurrent
// use.
type Codec struct {
	limits Limits
	plans  sync.Map // reflect.Type of the struct → *Plan
}

// NewCodec makes a Codec whose plans keep to limits.
func NewCodec(limits Limits) *Codec { return &Codec{limits: limits} }

// Plan is the compiled form of one struct type. It is immutable.
type Plan struct {
	typ   reflect.Type
	value value
}

// value is how one Go type travels.
//
// The functions get the address of a Go value of exactly the type they were
// compiled for. That is the only use of unsafe here: Plan's methods check the
// struct's type, and every further address is a field's offset within it, an
// element of a slice made by reflect, or an element of an array, so the
// pointer always stays inside an object that the caller keeps alive.
type value struct {
	encode func(*encoder, unsafe.Pointer)
	decode func(*decoder, unsafe.Pointer)
	// least is the fewest bytes that a value takes on the wire.
	least int
}

// Plan returns the plan of struct type t.
func (c *Codec) Plan(t reflect.Type) (*Plan, error) {
	if p, ok := c.plans.Load(t); ok {
		return p.(*Plan), nil
	}
	if t.Kind() != reflect.Struct {
		return nil, fmt.Errorf("cannot compile %s: not a struct", t)
	}
	v, err := c.compile(t, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot compile %s: %w", t, err)
	}
	p, _ := c.plans.LoadOrStore(t, &Plan{typ: t, value: v})
	return p.(*Plan), nil
}

// Append appends the encoding of the struct that message points to. A nil
// message is an empty payload.
func (c *Codec) Append(buf []byte, message any) ([]byte, error) {
	if message == nil {
		return buf, nil
	}
	t := reflect.TypeOf(message)
	if t.Kind() != reflect.Pointer {
		return buf, fmt.Errorf("cannot encode %s: not a pointer to a struct", t)
	}
	p, err := c.Plan(t.Elem())
	if err != nil {
		return buf, err
	}
	return p.Append(buf, message)
}

// Append appends the encoding of the struct that message points to, which must
// be of the plan's type. On an error buf is returned as it was.
func (p *Plan) Append(buf []byte, message any) ([]byte, error) {
	address, err := p.address(message)
	if err != nil {
		return buf, err
	}
	e := encoders.Get().(*encoder)
	defer encoders.Put(e)
	*e = encoder{buf: buf}
	p.value.encode(e, address)
	encoded, failure := e.buf, e.err
	*e = encoder{}
	if failure != nil {
		return buf, failure.within(p.typ.Name())
	}
	return encoded, nil
}

// Decode fills the struct that message points to, which must be of the plan's
// type, from the whole of data. Strings and byte slices are copied.
func (p *Plan) Decode(data []byte, message any) error {
	address, err := p.address(message)
	if err != nil {
		return err
	}
	d := decoders.Get().(*decoder)
	defer decoders.Put(d)
	*d = decoder{data: data}
	p.value.decode(d, address)
	if d.left() > 0 {
		d.fail("%d bytes too many", d.left())
	}
	failure := d.err
	*d = decoder{}
	if failure != nil {
		return failure.within(p.typ.Name())
	}
	return nil
}

// address checks that message points to a struct of the plan's type.
func (p *Plan) address(message any) (unsafe.Pointer, error) {
	v := reflect.ValueOf(message)
	if v.Kind() != reflect.Pointer || v.Type().Elem() != p.typ || v.IsNil() {
		return nil, fmt.Errorf("cannot use %T with the plan of %s", message, p.typ)
	}
	return v.UnsafePointer(), nil
}

var unionType = reflect.TypeFor[libvirt.TypedParamValue]()

// compile returns how type t travels. limit bounds a list, 0 means no limit
// of its own.
func (c *Codec) compile(t reflect.Type, limit int) (value, error) {
	if t == unionType {
		return typedParamValue, nil
	}
	switch t.Kind() {
	case reflect.Struct:
		return c.compileStruct(t)
	case reflect.Slice:
		if strings.HasPrefix(t.Name(), "Opt") {
			return c.compileOptional(t)
		}
		return c.compileSlice(t, limit)
	case reflect.Array:
		return c.compileArray(t)
	default:
		v, ok := scalars[t.Kind()]
		if !ok {
			return value{}, fmt.Errorf("type %s has no XDR form", t)
		}
		return v, nil
	}
}

// field is one field of a struct's plan.
type field struct {
	value
	name   string
	offset uintptr
}

func (c *Codec) compileStruct(t reflect.Type) (value, error) {
	fields := make([]field, t.NumField())
	least := 0
	for i := range fields {
		f := t.Field(i)
		v, err := c.compile(f.Type, c.limits[t.Name()+"."+f.Name])
		if err != nil {
			return value{}, fmt.Errorf("%s: %w", f.Name, err)
		}
		fields[i] = field{value: v, name: f.Name, offset: f.Offset}
		least += v.least
	}
	return value{
		least: least,
		encode: func(e *encoder, p unsafe.Pointer) {
			for i := range fields {
				f := &fields[i]
				f.encode(e, unsafe.Add(p, f.offset))
				if e.err != nil {
					e.err.within(f.name)
					return
				}
			}
		},
		decode: func(d *decoder, p unsafe.Pointer) {
			for i := range fields {
				f := &fields[i]
				f.decode(d, unsafe.Add(p, f.offset))
				if d.err != nil {
					d.err.within(f.name)
					return
				}
			}
		},
	}, nil
}
