package dispatch

import (
	"testing"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/proto"
	"virtumld/internal/wire"
)

// roundTrips measures calls of one client, each after the reply to the last.
func roundTrips(b *testing.B, c *rawClient, procedure int32, args any) {
	packet, err := proto.Codec.Append(wire.Begin(nil, callHeader(procedure, 1)), args)
	if err != nil {
		b.Fatal(err)
	}
	if err := wire.Finish(packet); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := c.writer.Write(packet); err != nil {
			b.Fatal(err)
		}
		if h, _, err := c.reader.Next(); err != nil || h.Status != wire.OK {
			b.Fatalf("%+v, %v", h, err)
		}
	}
}

func BenchmarkQuickCall(b *testing.B) {
	c := serve(b, newBackend(), Options{}).open(b)
	roundTrips(b, c, proto.DomainLookupByName, &libvirt.DomainLookupByNameArgs{Name: "demo"})
}
