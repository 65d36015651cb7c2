package driver

import (
	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/virerr"
)

// params is a list of typed parameters that is being made.
type params []libvirt.TypedParam

func (p *params) add(field string, value *libvirt.TypedParamValue) {
	*p = append(*p, libvirt.TypedParam{Field: field, Value: *value})
}

func (p *params) addInt(field string, v int32) { p.add(field, libvirt.NewTypedParamValueInt(v)) }

func (p *params) addUint(field string, v uint32) { p.add(field, libvirt.NewTypedParamValueUint(v)) }

func (p *params) addLlong(field string, v int64) { p.add(field, libvirt.NewTypedParamValueLlong(v)) }

func (p *params) addUllong(field string, v uint64) { p.add(field, libvirt.NewTypedParamValueUllong(v)) }

func (p *params) addDouble(field string, v float64) {
	p.add(field, libvirt.NewTypedParamValueDouble(v))
}

func (p *params) addBool(field string, v bool) {
	n := int32(0)
	if v {
		n = 1
	}
	p.add(field, libvirt.NewTypedParamValueBoolean(n))
}

func (p *params) addString(field, v string) { p.add(field, libvirt.NewTypedParamValueString(v)) }

// paramTypes are libvirt's names of virTypedParameterType.
var paramTypes = map[uint32]string{1: "int", 2: "uint", 3: "llong", 4: "ullong", 5: "double", 6: "boolean", 7: "string"}

// uintParams reads parameters that are all unsigned integers of the given
// names, each at most once; the refusals are libvirt's
// (src/util/virtypedparam.c, virTypedParamsValidate).
func uintParams(list []libvirt.TypedParam, names ...string) (map[string]uint32, error) {
	known := make(map[string]bool, len(names))
	for _, name := range names {
		known[name] = true
	}
	values := make(map[string]uint32, len(list))
	for _, p := range list {
		value, isUint := p.Value.I.(uint32)
		_, twice := values[p.Field]
		switch {
		case !known[p.Field]:
			return nil, virerr.New(libvirt.ErrArgumentUnsupported, "parameter '%s' not supported", p.Field)
		case !isUint:
			return nil, virerr.New(libvirt.ErrInvalidArg, "invalid type '%s' for parameter '%s', expected '%s'",
				paramTypes[p.Value.D], p.Field, paramTypes[uint32(libvirt.TypedParamUint)])
		case twice:
			return nil, virerr.New(libvirt.ErrInvalidArg, "parameter '%s' occurs multiple times", p.Field)
		}
		values[p.Field] = value
	}
	return values, nil
}
