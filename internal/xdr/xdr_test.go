package xdr

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"

	libvirt "github.com/digitalocean/go-libvirt"
)

// testLimits stand for the procedure table's.
var testLimits = Limits{
	"DomainSetSchedulerParametersArgs.Params": 16,
	"DomainSendKeyArgs.Keycodes":              16,
	"DomainPinVcpuArgs.Cpumap":                2048,
	"AuthSaslStartArgs.Data":                  65536,
}

var exampleUUID = libvirt.UUID{
	0xb4, 0x43, 0x3f, 0xc2, 0xa2, 0x2e, 0xff, 0xb3,
	0x0a, 0x3d, 0x9c, 0x17, 0x3b, 0x39, 0x58, 0x00,
}

// unhex turns lines of "hex // comment" into bytes.
func unhex(t *testing.T, text string) []byte {
	t.Helper()
	var digits strings.Builder
	for line := range strings.Lines(text) {
		code, _, _ := strings.Cut(line, "//")
		digits.WriteString(strings.Join(strings.Fields(code), ""))
	}
	b, err := hex.DecodeString(digits.String())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// nodeModel is 32 chars of four bytes.
func nodeModel(text string) (model [32]int8, encoded string) {
	var b strings.Builder
	for i := range model {
		var c byte
		if i < len(text) {
			c = text[i]
		}
		model[i] = int8(c)
		b.WriteString("000000" + hex.EncodeToString([]byte{c}))
	}
	return model, b.String()
}

func TestVectors(t *testing.T) {
	t.Parallel()
	model, modelHex := nodeModel("x86_64")
	for _, tt := range []struct {
		name    string
		message any
		wire    string
	}{
		{
			"optional string and flags",
			&libvirt.ConnectOpenArgs{Name: libvirt.OptString{"uml:///system"}, Flags: 2},
			`00000001          // name is present
			 0000000d          // 13 bytes
			 756d6c3a 2f2f2f73 // uml:///s
			 79737465 6d000000 // ystem, three bytes of padding
			 00000002          // flags`,
		},
		{
			"absent string",
			&libvirt.ConnectOpenArgs{Name: libvirt.OptString{}},
			`00000000 // no name
			 00000000 // flags`,
		},
		{
			"domain: string, raw uuid, id",
			&libvirt.DomainGetInfoArgs{Dom: libvirt.Domain{Name: "demo", UUID: exampleUUID, ID: -1}},
			`00000004                            // 4 bytes
			 64656d6f                            // demo
			 b4433fc2 a22effb3 0a3d9c17 3b395800 // uuid
			 ffffffff                            // id -1`,
		},
		{
			"unsigned char and unsigned short are words",
			&libvirt.DomainGetInfoRet{State: 1, MaxMem: 1 << 33, Memory: 500000, NrVirtCPU: 3, CPUTime: 0x0102030405060708},
			`00000001          // state
			 00000002 00000000 // max memory
			 00000000 0007a120 // memory
			 00000003          // virtual CPUs
			 01020304 05060708 // CPU time`,
		},
		{
			"array of char takes a word per char",
			&libvirt.NodeGetInfoRet{Model: model, Memory: 2048, Cpus: 2, Mhz: 3000, Nodes: 1, Sockets: 1, Cores: 2, Threads: 1},
			modelHex + `
			 00000000 00000800 // memory
			 00000002          // CPUs
			 00000bb8          // MHz
			 00000001          // nodes
			 00000001          // sockets
			 00000002          // cores
			 00000001          // threads`,
		},
		{
			"list of char takes a word per char",
			&libvirt.AuthSaslStartArgs{Mech: "A", Nil: 0, Data: []int8{'h', -1}},
			`00000001 41000000 // mechanism A
			 00000000          // data is not nil
			 00000002          // two chars
			 00000068          // h
			 ffffffff          // -1`,
		},
		{
			"opaque bytes",
			&libvirt.DomainPinVcpuArgs{Vcpu: 1, Cpumap: []byte{0xff, 0x01, 0x80}},
			`00000000                            // no name
			 00000000 00000000 00000000 00000000 // uuid
			 00000000                            // id
			 00000001                            // vcpu
			 00000003                            // three bytes
			 ff018000                            // and padding`,
		},
		{
			"typed parameters",
			&libvirt.DomainGetSchedulerParametersRet{Params: []libvirt.TypedParam{
				{Field: "i", Value: *libvirt.NewTypedParamValueInt(-2)},
				{Field: "u", Value: *libvirt.NewTypedParamValueUint(2)},
				{Field: "l", Value: *libvirt.NewTypedParamValueLlong(-3)},
				{Field: "ul", Value: *libvirt.NewTypedParamValueUllong(3)},
				{Field: "d", Value: *libvirt.NewTypedParamValueDouble(1.5)},
				{Field: "b", Value: *libvirt.NewTypedParamValueBoolean(1)},
				{Field: "s", Value: *libvirt.NewTypedParamValueString("x")},
			}},
			`00000007                            // seven parameters
			 00000001 69000000 00000001 fffffffe          // i, int
			 00000001 75000000 00000002 00000002          // u, unsigned int
			 00000001 6c000000 00000003 ffffffff fffffffd // l, long long
			 00000002 756c0000 00000004 00000000 00000003 // ul, unsigned long long
			 00000001 64000000 00000005 3ff80000 00000000 // d, double
			 00000001 62000000 00000006 00000001          // b, boolean
			 00000001 73000000 00000007 00000001 78000000 // s, string`,
		},
		{
			"list of lists",
			&libvirt.DomainGetFsinfoRet{Info: []libvirt.DomainFsinfo{{
				Mountpoint: "/", Name: "ubda", Fstype: "ext4", DevAliases: []string{"ubd0", "a"},
			}}, Ret: 1},
			`00000001                   // one file system
			 00000001 2f000000          // mountpoint
			 00000004 75626461          // name
			 00000004 65787434          // type
			 00000002                   // two aliases
			 00000004 75626430          // ubd0
			 00000001 61000000          // a
			 00000001                   // ret`,
		},
		{
			"a struct with a field that go-libvirt keeps to itself",
			&libvirt.DomainGetDiskErrorsRet{Errors: []libvirt.DomainDiskError{{Disk: "ubda"}}, Nerrors: 1},
			`00000001                   // one error
			 00000004 75626461 00000000 // disk, error
			 00000001                   // how many`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			want := unhex(t, tt.wire)
			codec := NewCodec(testLimits)
			got, err := codec.Append(nil, tt.message)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Fatalf("encoded\n%x\nwant\n%x", got, want)
			}
			plan, err := codec.Plan(reflect.TypeOf(tt.message).Elem())
			if err != nil {
				t.Fatal(err)
			}
			back := reflect.New(plan.typ).Interface()
			if err := plan.Decode(want, back); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(back, tt.message) {
				t.Fatalf("decoded %+v, want %+v", back, tt.message)
			}
			for n := range want {
				if err := plan.Decode(want[:n], back); err == nil {
					t.Fatalf("the first %d of %d bytes decoded", n, len(want))
				}
			}
			if err := plan.Decode(append(want, 0, 0, 0, 0), back); err == nil {
				t.Fatal("a word too many decoded")
			}
		})
	}
}

// Any word but zero says that an optional value is there.
func TestPresenceIsAnyWordButZero(t *testing.T) {
	t.Parallel()
	plan, err := NewCodec(nil).Plan(reflect.TypeFor[libvirt.ConnectOpenArgs]())
	if err != nil {
		t.Fatal(err)
	}
	for _, presence := range []string{"00000001", "01000000", "ffffffff"} {
		var args libvirt.ConnectOpenArgs
		err := plan.Decode(unhex(t, presence+`00000001 78000000 00000000`), &args)
		if err != nil || len(args.Name) != 1 || args.Name[0] != "x" {
			t.Errorf("presence %s: %+v, %v", presence, args, err)
		}
	}
}

func TestNilIsAnEmptyPayload(t *testing.T) {
	t.Parallel()
	got, err := NewCodec(nil).Append([]byte("kept"), nil)
	if err != nil || string(got) != "kept" {
		t.Fatalf("got %q, %v", got, err)
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		message any
		wire    string
		field   string
	}{
		{"padding that is not zero", &libvirt.ConnectGetTypeRet{},
			`00000001 78000001`, "ConnectGetTypeRet.Type"},
		{"string longer than the packet", &libvirt.ConnectGetTypeRet{},
			`00000009 78787878 78787878`, "ConnectGetTypeRet.Type"},
		{"string longer than allowed", &libvirt.ConnectGetTypeRet{},
			`ffffffff 78787878`, "ConnectGetTypeRet.Type"},
		{"NUL in a string", &libvirt.ConnectGetTypeRet{},
			`00000003 78007800`, "ConnectGetTypeRet.Type"},
		{"two values in an optional", &libvirt.ConnectGetMaxVcpusArgs{},
			`00000002 00000001 78000000 00000001 78000000`, "ConnectGetMaxVcpusArgs"},
		{"more elements than the field allows", &libvirt.DomainSendKeyArgs{},
			`00000000 00000000 00000000 00000000 00000000 00000000 // domain
			 00000000 00000000                                     // codeset, holdtime
			 00000011 ` + strings.Repeat("00000000", 17) + `       // 17 keys
			 00000000`, "DomainSendKeyArgs.Keycodes"},
		{"more elements than bytes", &libvirt.DomainSetSchedulerParametersArgs{},
			`00000000 00000000 00000000 00000000 00000000 00000000 // domain
			 00000010 00000000                                     // 16 parameters`,
			"DomainSetSchedulerParametersArgs.Params"},
		{"unknown arm", &libvirt.DomainSetSchedulerParametersArgs{},
			`00000000 00000000 00000000 00000000 00000000 00000000 // domain
			 00000002
			 00000001 78000000 00000001 00000000                   // x, int
			 00000001 79000000 00000008 00000000                   // y, type 8`,
			"DomainSetSchedulerParametersArgs.Params[1].Value"},
		{"number too large for its type", &libvirt.DomainGetInfoRet{},
			`00000100 00000000 00000000 00000000 00000000 00000000 00000000 00000000`, "DomainGetInfoRet.State"},
		{"char too large", &libvirt.AuthSaslStartArgs{},
			`00000000 00000000 00000001 00000100`, "AuthSaslStartArgs.Data[0]"},
		{"bytes left over", &libvirt.ConnectGetVersionRet{},
			`00000000 00000000 00`, "ConnectGetVersionRet"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			plan, err := NewCodec(testLimits).Plan(reflect.TypeOf(tt.message).Elem())
			if err != nil {
				t.Fatal(err)
			}
			err = plan.Decode(unhex(t, tt.wire), tt.message)
			var field *Error
			if !errors.As(err, &field) {
				t.Fatalf("decoded to %+v, error %v", tt.message, err)
			}
			if field.Field != tt.field || field.Reason == "" {
				t.Errorf("error %q, want it about %s", err, tt.field)
			}
		})
	}
}

func TestEncodeRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		message any
		field   string
	}{
		{"NUL in a string", &libvirt.ConnectGetTypeRet{Type: "a\x00b"}, "ConnectGetTypeRet.Type"},
		{"string too long", &libvirt.ConnectGetTypeRet{Type: strings.Repeat("x", StringMax+1)}, "ConnectGetTypeRet.Type"},
		{"two values in an optional", &libvirt.ConnectOpenArgs{Name: libvirt.OptString{"a", "b"}}, "ConnectOpenArgs.Name"},
		{"too many elements", &libvirt.DomainSendKeyArgs{Keycodes: make([]uint32, 17)}, "DomainSendKeyArgs.Keycodes"},
		{"value of another arm",
			&libvirt.DomainGetSchedulerParametersRet{Params: []libvirt.TypedParam{
				{Field: "x", Value: libvirt.TypedParamValue{D: 4, I: int32(1)}},
			}},
			"DomainGetSchedulerParametersRet.Params[0].Value"},
		{"no value",
			&libvirt.DomainGetSchedulerParametersRet{Params: []libvirt.TypedParam{{Field: "x"}}},
			"DomainGetSchedulerParametersRet.Params[0].Value"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := NewCodec(testLimits).Append([]byte("kept"), tt.message)
			var field *Error
			if !errors.As(err, &field) || field.Field != tt.field {
				t.Errorf("error %v, want one about %s", err, tt.field)
			}
			if string(got) != "kept" {
				t.Errorf("the buffer became %q", got)
			}
		})
	}
}

func TestPlanRefusesOtherTypes(t *testing.T) {
	t.Parallel()
	codec := NewCodec(nil)
	plan, err := codec.Plan(reflect.TypeFor[libvirt.Domain]())
	if err != nil {
		t.Fatal(err)
	}
	for _, message := range []any{
		libvirt.Domain{}, &libvirt.Network{}, (*libvirt.Domain)(nil), nil, 3,
	} {
		if err := plan.Decode(nil, message); err == nil {
			t.Errorf("decoded into %T", message)
		}
		if _, err := plan.Append(nil, message); err == nil {
			t.Errorf("encoded %T", message)
		}
	}
	for _, typ := range []reflect.Type{
		reflect.TypeFor[int32](),
		reflect.TypeFor[struct{ M map[string]int }](),
		reflect.TypeFor[struct{ E []struct{} }](),
		reflect.TypeFor[struct{ P *int32 }](),
	} {
		if _, err := codec.Plan(typ); err == nil {
			t.Errorf("compiled %s", typ)
		}
	}
}

func TestEncodeIntoAReusedBufferAllocatesNothing(t *testing.T) {
	reply := &libvirt.ConnectListAllDomainsRet{Ret: 10}
	for range 10 {
		reply.Domains = append(reply.Domains, libvirt.Domain{Name: "demo", UUID: exampleUUID, ID: 7})
	}
	plan, err := NewCodec(nil).Plan(reflect.TypeOf(*reply))
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := plan.Append(buf, reply); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
