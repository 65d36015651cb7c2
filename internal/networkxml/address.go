package networkxml

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"
	"strconv"
	"strings"
)

// parseAddress reads an IP address without a zone.
func parseAddress(text string) (netip.Addr, error) {
	a, err := netip.ParseAddr(text)
	if err != nil {
		return a, err
	}
	if a.Zone() != "" {
		return netip.Addr{}, fmt.Errorf("the address %s has a zone", text)
	}
	return a, nil
}

// parseMAC reads six hexadecimal numbers as libvirt does (src/util/virmacaddr.c).
func parseMAC(text string) (mac [6]byte, ok bool) {
	parts := strings.Split(text, ":")
	if len(parts) != len(mac) {
		return mac, false
	}
	for i, part := range parts {
		v, err := strconv.ParseUint(part, 16, 8)
		if err != nil || len(part) > 2 {
			return mac, false
		}
		mac[i] = byte(v)
	}
	return mac, true
}

// CanonicalMAC writes an address as libvirt does; ok is false for what is none.
func CanonicalMAC(text string) (mac string, ok bool) {
	m, ok := parseMAC(text)
	if !ok {
		return "", false
	}
	return formatMAC(m), true
}

func formatMAC(m [6]byte) string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}

func sameMAC(a, b string) bool {
	macA, okA := parseMAC(a)
	macB, okB := parseMAC(b)
	return okA && okB && macA == macB
}

// Bits is the length of the prefix: the one given, that of the netmask, or the
// one that the address had before there were prefixes; -1 when there is none
// (src/util/virsocketaddr.c, virSocketAddrGetIPPrefix).
func (ip *IP) Bits() int {
	switch {
	case ip.Prefix > 0:
		return int(ip.Prefix)
	case ip.Netmask.Is4():
		return maskBits(ip.Netmask)
	case !ip.Address.Is4():
		return 64
	}
	switch first := ip.Address.As4()[0]; {
	case first < 0x80:
		return 8
	case first < 0xc0:
		return 16
	case first < 0xe0:
		return 24
	}
	return -1
}

// maskBits is the length of a netmask, -1 for one with gaps.
func maskBits(mask netip.Addr) int {
	raw := mask.As4()
	m := binary.BigEndian.Uint32(raw[:])
	ones := bits.LeadingZeros32(^m)
	if bits.OnesCount32(m) != ones {
		return -1
	}
	return ones
}

// Gateway is the address with its prefix; it is not valid where the prefix
// cannot be told.
func (ip *IP) Gateway() netip.Prefix { return netip.PrefixFrom(ip.Address, ip.Bits()) }

// HasDHCP reports whether addresses are handed out.
func (ip *IP) HasDHCP() bool { return len(ip.Ranges) > 0 || len(ip.Hosts) > 0 }

// broadcast is the last address of an IPv4 network.
func broadcast(p netip.Prefix) netip.Addr {
	raw := p.Addr().As4()
	last := binary.BigEndian.Uint32(raw[:]) | (1<<(32-p.Bits()) - 1)
	binary.BigEndian.PutUint32(raw[:], last)
	return netip.AddrFrom4(raw)
}

// checkRange refuses a range that is not within ip's network; ip may be nil
// (src/util/virsocketaddr.c, virSocketAddrGetRange).
func checkRange(first, last netip.Addr, ip *IP) error {
	if first.Is4() != last.Is4() {
		return internal("mismatch of address family in range %s - %s", first, last)
	}
	if ip != nil {
		if err := checkRangeWithin(first, last, ip); err != nil {
			return err
		}
	}
	if first.Is4() {
		a, b := first.As4(), last.As4()
		if a[0] != b[0] || a[1] != b[1] {
			return internal("range %s - %s is too large (> 65535)", first, last)
		}
	} else {
		a, b := first.As16(), last.As16()
		if [14]byte(a[:14]) != [14]byte(b[:14]) {
			return internal("range %s - %s is too large (> 65535)", first, last)
		}
	}
	switch {
	case !last.Less(first):
		return nil
	case first.Is4():
		return internal("range %s - %s is reversed ", first, last)
	}
	return internal("range %s - %s start larger than end", first, last)
}

func checkRangeWithin(first, last netip.Addr, ip *IP) error {
	if first.Is4() != ip.Address.Is4() {
		return internal("mismatch of address family in range %s - %s for network %s", first, last, ip.Address)
	}
	network := ip.Gateway().Masked()
	if !network.IsValid() {
		return internal("bad prefix %d for network %s when  checking range %s - %s", ip.Bits(), ip.Address, first, last)
	}
	if !network.Contains(first) || !network.Contains(last) {
		return internal("range %s - %s is not entirely within network %s/%d", first, last, ip.Address, ip.Bits())
	}
	if !first.Is4() {
		return nil
	}
	if first == network.Addr() {
		return internal("start of range %s - %s in network %s/%d is the network address", first, last, ip.Address, ip.Bits())
	}
	if last == broadcast(network) {
		return internal("end of range %s - %s in network %s/%d is the broadcast address", first, last, ip.Address, ip.Bits())
	}
	return nil
}
