package xdr

import (
	"math"
	"unsafe"

	libvirt "github.com/digitalocean/go-libvirt"
)

// The arms of remote_typed_param_value, libvirt's virTypedParameterType.
const (
	armInt     = 1
	armUint    = 2
	armLlong   = 3
	armUllong  = 4
	armDouble  = 5
	armBoolean = 6
	armString  = 7
)

// typedParamValue is the union remote_typed_param_value.
var typedParamValue = value{
	least: 8,
	encode: func(e *encoder, p unsafe.Pointer) {
		e.typedParamValue((*libvirt.TypedParamValue)(p))
	},
	decode: func(d *decoder, p unsafe.Pointer) {
		d.typedParamValue((*libvirt.TypedParamValue)(p))
	},
}

// typedParamValue writes the arm that v.D names; v.I must be of its type.
func (e *encoder) typedParamValue(v *libvirt.TypedParamValue) {
	arm := v.D
	e.word(arm)
	switch x := v.I.(type) {
	case int32:
		e.expectArm(arm == armInt || arm == armBoolean, v)
		e.word(uint32(x))
	case uint32:
		e.expectArm(arm == armUint, v)
		e.word(x)
	case int64:
		e.expectArm(arm == armLlong, v)
		e.hyper(uint64(x))
	case uint64:
		e.expectArm(arm == armUllong, v)
		e.hyper(x)
	case float64:
		e.expectArm(arm == armDouble, v)
		e.hyper(math.Float64bits(x))
	case string:
		e.expectArm(arm == armString, v)
		e.string(x)
	default:
		e.expectArm(false, v)
	}
}

func (e *encoder) expectArm(ok bool, v *libvirt.TypedParamValue) {
	if !ok {
		e.fail("a typed parameter of type %d holds a Go %T", v.D, v.I)
	}
}

// typedParamValue reads the discriminant and its arm.
func (d *decoder) typedParamValue(v *libvirt.TypedParamValue) {
	v.D = d.word()
	if d.err != nil {
		return
	}
	switch v.D {
	case armInt, armBoolean:
		v.I = int32(d.word())
	case armUint:
		v.I = d.word()
	case armLlong:
		v.I = int64(d.hyper())
	case armUllong:
		v.I = d.hyper()
	case armDouble:
		v.I = math.Float64frombits(d.hyper())
	case armString:
		v.I = d.string()
	default:
		d.fail("unknown typed parameter type %d", v.D)
	}
}
