package dispatch

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"virtumld/internal/driver"
	"virtumld/internal/proto"
)

// Arguments and reply of a row must be of the procedure's own types, or the
// wrong method is bound to it.
func TestRowsBindTheRightTypes(t *testing.T) {
	t.Parallel()
	check := func(r row, kind string, typ reflect.Type) {
		name := proto.Find(proto.ProgramRemote, r.procedure).Name
		if typ != nil && typ.Name() != name+kind {
			t.Errorf("%s has the %s type %s", name, kind, typ.Name())
		}
	}
	for _, r := range append(rows(), connectionRows()...) {
		check(r, "Args", r.args)
		check(r, "Ret", r.reply)
	}
}

// A method of the driver that is named like a procedure must be served.
func TestEveryDriverMethodHasARow(t *testing.T) {
	t.Parallel()
	served := newTable(append(rows(), connectionRows()...))
	numbers := make(map[string]int32)
	for _, p := range proto.Procedures(proto.ProgramRemote) {
		numbers[strings.ToLower(p.Name)] = p.Number
	}
	conn := reflect.TypeFor[*driver.Conn]()
	for i := range conn.NumMethod() {
		name := conn.Method(i).Name
		if number, ok := numbers[strings.ToLower(name)]; ok && served[number] == nil {
			t.Errorf("(*driver.Conn).%s has no row", name)
		}
	}
}

// Nothing that the server sends by itself can be called.
func TestRowsAreCallable(t *testing.T) {
	t.Parallel()
	for _, r := range rows() {
		p := proto.Find(proto.ProgramRemote, r.procedure)
		if p.Access == proto.Message {
			t.Errorf("%s is a message of the server and has a row", p.Name)
		}
	}
}

// FuzzArguments decodes arbitrary bytes as the arguments of every procedure
// that is served. What decodes must encode to as many bytes.
func FuzzArguments(f *testing.F) {
	var withArgs []row
	for _, r := range append(rows(), connectionRows()...) {
		if r.args != nil {
			withArgs = append(withArgs, r)
		}
	}
	for i, r := range withArgs {
		seed, err := proto.Codec.Append(nil, reflect.New(r.args).Interface())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint16(i), seed)
		f.Add(uint16(i), bytes.Repeat([]byte{0, 0, 0, 1}, 40))
	}
	f.Fuzz(func(t *testing.T, which uint16, payload []byte) {
		r := withArgs[int(which)%len(withArgs)]
		args, err := r.decode(payload)
		if err != nil {
			return
		}
		encoded, err := proto.Codec.Append(nil, args)
		if err != nil || len(encoded) != len(payload) {
			t.Fatalf("%d bytes decoded to %+v, which encodes to %d bytes (%v)", len(payload), args, len(encoded), err)
		}
	})
}
