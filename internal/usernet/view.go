package usernet

import (
	"net/netip"
)

// The MTU is limited by what IP allows below and what a port carries above.
const (
	defaultMTU = 1500
	minMTU     = 576
	minMTU6    = 1280
	maxMTU     = 65534
)

// view is a Config as the packet path asks it. It is immutable.
type view struct {
	cfg     Config
	mtu     int
	subnets []subnet
	// v4 and v6 say whether the network has addresses of that kind at all.
	v4, v6 bool
}

// subnet is one subnet with the gateway's address in it.
type subnet struct {
	prefix    netip.Prefix
	gateway   netip.Addr
	broadcast netip.Addr // of IPv4 prefixes that have one
}

func newView(cfg Config) (*view, error) {
	v := &view{cfg: cfg, mtu: cfg.MTU}
	if v.mtu == 0 {
		v.mtu = defaultMTU
	}
	for _, s := range cfg.Subnets {
		if err := v.add(s.Gateway); err != nil {
			return nil, err
		}
	}
	low := minMTU
	if v.v6 {
		low = minMTU6
	}
	if v.mtu < low || v.mtu > maxMTU {
		return nil, unsupported("an MTU of %d is not possible: it must be from %d to %d", v.mtu, low, maxMTU)
	}
	return v, nil
}

func (v *view) add(p netip.Prefix) error {
	a := p.Addr()
	switch {
	case !p.IsValid() || a.Zone() != "" || a.Is4In6():
		return unsupported("the gateway's address %v is not an IP address with a prefix", p)
	case special(a):
		return unsupported("the address %v cannot be a gateway's", a)
	}
	s := subnet{prefix: p.Masked(), gateway: a, broadcast: broadcast(p)}
	if a == s.broadcast || s.broadcast.IsValid() && a == s.prefix.Addr() {
		return unsupported("the gateway's address %v is that of its subnet or broadcast", p)
	}
	for _, other := range v.subnets {
		if other.prefix.Overlaps(s.prefix) {
			return unsupported("the subnets %v and %v overlap", other.prefix, s.prefix)
		}
	}
	v.subnets = append(v.subnets, s)
	v.v4, v.v6 = v.v4 || a.Is4(), v.v6 || a.Is6()
	return nil
}

// broadcast is the broadcast address of an IPv4 subnet, or invalid where the
// prefix is too long to have one (RFC 3021) or it is IPv6.
func broadcast(p netip.Prefix) netip.Addr {
	if !p.Addr().Is4() || p.Bits() > 30 {
		return netip.Addr{}
	}
	b := p.Addr().As4()
	for bit := p.Bits(); bit < 32; bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	return netip.AddrFrom4(b)
}

// subnetOf is the subnet that has the address in it, or nil.
func (v *view) subnetOf(a netip.Addr) *subnet {
	for i := range v.subnets {
		if v.subnets[i].prefix.Contains(a) {
			return &v.subnets[i]
		}
	}
	return nil
}

// isGateway reports whether the address is the gateway's own.
func (v *view) isGateway(a netip.Addr) bool {
	s := v.subnetOf(a)
	return s != nil && s.gateway == a
}

// isGuest reports whether the address may be a guest's.
func (v *view) isGuest(a netip.Addr) bool {
	s := v.subnetOf(a)
	return s != nil && a != s.gateway && a != s.broadcast &&
		!(s.broadcast.IsValid() && a == s.prefix.Addr())
}

// outside reports whether a guest may be connected with the address through
// the host: never when that would be the host's own loopback, whatever way it
// is written, or an address that is no single host's, or one of this network.
func (v *view) outside(a netip.Addr) bool {
	return v.cfg.NAT && a.IsValid() && a.Zone() == "" && !special(a) && v.subnetOf(a.Unmap()) == nil
}

// The blocks that are no single host on some network (RFC 6890).
var specials = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("224.0.0.0/3"), // multicast, reserved and broadcast
	netip.MustParsePrefix("::/96"),       // ::, ::1 and IPv4-compatible
	netip.MustParsePrefix("fe80::/10"),
	netip.MustParsePrefix("fec0::/10"),
	netip.MustParsePrefix("ff00::/8"),
}

// special reports whether the address, an IPv4 address within an IPv6 one
// included, is in one of the blocks above.
func special(a netip.Addr) bool {
	if a.Is4In6() {
		return true
	}
	for _, p := range specials {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
