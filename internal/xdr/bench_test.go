package xdr

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	libvirt "github.com/digitalocean/go-libvirt"
)

func planFor(b *testing.B, message any) *Plan {
	b.Helper()
	plan, err := NewCodec(testLimits).Plan(reflect.TypeOf(message).Elem())
	if err != nil {
		b.Fatal(err)
	}
	return plan
}

func benchEncode(b *testing.B, message any) {
	plan := planFor(b, message)
	buf, err := plan.Append(nil, message)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		if buf, err = plan.Append(buf[:0], message); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	list := &libvirt.ConnectListAllDomainsRet{Ret: 500}
	for i := range 500 {
		list.Domains = append(list.Domains, libvirt.Domain{Name: fmt.Sprintf("guest%d", i), UUID: exampleUUID, ID: int32(i)})
	}
	b.Run("500 domains", func(b *testing.B) { benchEncode(b, list) })
	b.Run("4 KiB XML", func(b *testing.B) {
		benchEncode(b, &libvirt.DomainGetXMLDescRet{XML: strings.Repeat("x", 4096)})
	})
	b.Run("info", func(b *testing.B) { benchEncode(b, &libvirt.DomainGetInfoRet{State: 1, Memory: 500000}) })
}

func BenchmarkDecode(b *testing.B) {
	args := &libvirt.DomainGetXMLDescArgs{Dom: libvirt.Domain{Name: "demo", UUID: exampleUUID, ID: 1}}
	plan := planFor(b, args)
	data, err := plan.Append(nil, args)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := plan.Decode(data, args); err != nil {
			b.Fatal(err)
		}
	}
}
