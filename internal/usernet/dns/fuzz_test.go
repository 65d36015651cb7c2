package dns

import (
	"context"
	"testing"

	"github.com/miekg/dns"
)

// FuzzAnswer checks that every message that can be read has an answer that
// can be sent and is not too long.
func FuzzAnswer(f *testing.F) {
	for _, m := range []*dns.Msg{
		query("web.vm.test.", dns.TypeA), query("10.122.168.192.in-addr.arpa.", dns.TypePTR, edns(4096)),
		query("long.example.com.", dns.TypeTXT), query(mustReverse("fd00::6"), dns.TypeANY), new(dns.Msg).SetUpdate("vm.test."),
	} {
		packet, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packet)
	}
	s := New(localConfig())
	f.Fuzz(func(t *testing.T, packet []byte) {
		m := new(dns.Msg)
		if m.Unpack(packet) != nil {
			return
		}
		out := s.answer(context.Background(), m, "udp", "guest")
		fit(out, m, "udp")
		text, err := out.Pack()
		if err != nil {
			t.Fatalf("%v\n%v", err, out)
		}
		if len(text) > udpSize {
			t.Fatalf("%d bytes: %v", len(text), out)
		}
	})
}

// FuzzReverse checks that the names of addresses are read as they are written.
func FuzzReverse(f *testing.F) {
	f.Add("1.0.0.127.in-addr.arpa.")
	f.Add(mustReverse("fd00::6"))
	f.Fuzz(func(t *testing.T, name string) {
		a := reverseAddr(name)
		if !a.IsValid() {
			return
		}
		// An IPv4 address inside of an IPv6 one is written as IPv4.
		if back := reverseAddr(mustReverse(a.String())); back != a.Unmap() {
			t.Fatalf("%q is %s, and that is %s", name, a, back)
		}
	})
}
