package dns

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// reverse answers whose an address is, or returns nil for an address of
// somewhere else.
func (z *zone) reverse(query *dns.Msg, a netip.Addr, now time.Time) *dns.Msg {
	name := z.names[a]
	if name == "" && z.Guests != nil {
		if guest := z.Guests.Hostname(a, now); guest != "" {
			name = z.qualified(guest)
		}
	}
	if name == "" {
		if z.isOurs(query.Question[0].Name) || z.isLocal(a) {
			return z.reply(query, dns.RcodeNameError, nil)
		}
		return nil
	}
	var records []dns.RR
	if kind := query.Question[0].Qtype; kind == dns.TypePTR || kind == dns.TypeANY {
		records = []dns.RR{&dns.PTR{Hdr: header(query.Question[0].Name, dns.TypePTR), Ptr: name}}
	}
	return z.reply(query, dns.RcodeSuccess, records)
}

func (z *zone) isLocal(a netip.Addr) bool {
	for _, p := range z.Subnets {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// reverseAddr is the address of a name below in-addr.arpa or ip6.arpa (RFC
// 1035, 3.5; RFC 3596, 2.5), invalid for any other name.
func reverseAddr(name string) netip.Addr {
	if digits, ok := strings.CutSuffix(name, ".in-addr.arpa."); ok {
		return reverse4(strings.Split(digits, "."))
	}
	if digits, ok := strings.CutSuffix(name, ".ip6.arpa."); ok {
		return reverse6(strings.Split(digits, "."))
	}
	return netip.Addr{}
}

func reverse4(parts []string) netip.Addr {
	var a [4]byte
	if len(parts) != len(a) {
		return netip.Addr{}
	}
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 10, 8)
		if err != nil {
			return netip.Addr{}
		}
		a[3-i] = byte(n)
	}
	return netip.AddrFrom4(a)
}

func reverse6(parts []string) netip.Addr {
	var a [16]byte
	if len(parts) != 2*len(a) {
		return netip.Addr{}
	}
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 16, 4)
		if err != nil || len(part) != 1 {
			return netip.Addr{}
		}
		a[15-i/2] |= byte(n) << (4 * (i % 2))
	}
	return netip.AddrFrom16(a)
}
