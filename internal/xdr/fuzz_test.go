package xdr

import (
	"bytes"
	"reflect"
	"testing"

	libvirt "github.com/digitalocean/go-libvirt"
)

// fuzzed are types that between them have every kind of field.
var fuzzed = []reflect.Type{
	reflect.TypeFor[libvirt.ConnectOpenArgs](),
	reflect.TypeFor[libvirt.DomainSetSchedulerParametersArgs](),
	reflect.TypeFor[libvirt.DomainSendKeyArgs](),
	reflect.TypeFor[libvirt.DomainPinVcpuArgs](),
	reflect.TypeFor[libvirt.AuthSaslStartArgs](),
	reflect.TypeFor[libvirt.DomainGetInfoRet](),
	reflect.TypeFor[libvirt.NodeGetInfoRet](),
	reflect.TypeFor[libvirt.DomainGetFsinfoRet](),
	reflect.TypeFor[libvirt.DomainInterfaceAddressesRet](),
	reflect.TypeFor[libvirt.ConnectGetAllDomainStatsArgs](),
	reflect.TypeFor[libvirt.ConnectGetAllDomainStatsRet](),
	reflect.TypeFor[libvirt.DomainEventGraphicsMsg](),
}

// FuzzDecode checks that whatever decodes can be encoded, and that this
// encoding stands for the same value.
func FuzzDecode(f *testing.F) {
	codec := NewCodec(testLimits)
	for i, typ := range fuzzed {
		seed, err := codec.Append(nil, reflect.New(typ).Interface())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(i), seed)
	}
	f.Add(uint8(1), []byte("\x00\x00\x00\x01a\x00\x00\x000123456789abcdef\x00\x00\x00\x01"+
		"\x00\x00\x00\x01\x00\x00\x00\x01x\x00\x00\x00\x00\x00\x00\x07\x00\x00\x00\x01y\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		plan, err := codec.Plan(fuzzed[int(which)%len(fuzzed)])
		if err != nil {
			t.Fatal(err)
		}
		value := reflect.New(plan.typ).Interface()
		if plan.Decode(data, value) != nil {
			return
		}
		encoded, err := plan.Append(nil, value)
		if err != nil {
			t.Fatalf("decoded %+v, which cannot be encoded: %v", value, err)
		}
		if len(encoded) != len(data) {
			t.Fatalf("decoded from %d bytes, encoded to %d", len(data), len(encoded))
		}
		again := reflect.New(plan.typ).Interface()
		if err := plan.Decode(encoded, again); err != nil {
			t.Fatalf("cannot decode the encoding of %+v: %v", value, err)
		}
		// Bytes are compared, since a double may be NaN.
		twice, err := plan.Append(nil, again)
		if err != nil || !bytes.Equal(twice, encoded) {
			t.Fatalf("%+v became %+v (%v)", value, again, err)
		}
	})
}
