package domxml

import (
	"cmp"
	"net/netip"
	"slices"

	libvirt "github.com/digitalocean/go-libvirt"
	lx "libvirt.org/go/libvirtxml"

	"virtumld/internal/virerr"
)

// maxForwards is how many ports of the host may lead to one interface: each is
// a listening socket. maxRanges is how many <range>s may say so.
const maxForwards, maxRanges = 16384, 256

// readAddresses takes <ip>: what DHCP gives the guest, one address a family.
func readAddresses(_ string, n *lx.DomainInterface, result *Interface) error {
	if len(n.IP) > 0 && result.Type != InterfaceUser {
		return virerr.New(libvirt.ErrConfigUnsupported,
			"Invalid attempt to set network interface guest-side IP route and/or address info, not supported by User Mode Linux on interface of type '%s'", result.Type)
	}
	seen := map[string]bool{}
	for _, ip := range n.IP {
		prefix, err := readAddress(ip)
		if err != nil {
			return err
		}
		family := "IPv4"
		if prefix.Addr().Is6() {
			family = "IPv6"
		}
		if seen[family] {
			return virerr.New(libvirt.ErrConfigUnsupported, "Only one %s address per interface is allowed", family)
		}
		seen[family] = true
		result.Addresses = append(result.Addresses, prefix)
	}
	return nil
}

// readAddress takes one <ip>. The bounds are those of libvirt's QEMU driver
// (src/qemu/qemu_validate.c); without a prefix it is what QEMU's slirp has.
func readAddress(ip lx.DomainInterfaceIP) (netip.Prefix, error) {
	if ip.Address == "" {
		return netip.Prefix{}, invalid("Missing required address in <ip>")
	}
	address, err := netip.ParseAddr(ip.Address)
	if err != nil || address.Zone() != "" ||
		ip.Family == "ipv4" && !address.Is4() || ip.Family == "ipv6" && address.Is4() ||
		address.IsUnspecified() || address.IsMulticast() || address.IsLoopback() {
		return netip.Prefix{}, invalid("Invalid address '%s' in <ip>", ip.Address)
	}
	address = address.Unmap()
	switch {
	case ip.Family != "" && ip.Family != "ipv4" && ip.Family != "ipv6":
		return netip.Prefix{}, badElement("family", "ip", ip.Family)
	case ip.Peer != "":
		return netip.Prefix{}, virerr.New(libvirt.ErrConfigUnsupported, "Invalid attempt to set peer IP for guest")
	case address.Is4() && ip.Prefix == 0:
		return netip.PrefixFrom(address, 24), nil
	case address.Is4() && (ip.Prefix < 4 || ip.Prefix > 27):
		return netip.Prefix{}, invalid("invalid prefix, must be in range of 4-27")
	case address.Is6() && ip.Prefix != 0 && ip.Prefix != 64:
		return netip.Prefix{}, virerr.New(libvirt.ErrConfigUnsupported, "unsupported IPv6 address prefix='%d' - must be 64", ip.Prefix)
	case address.Is6():
		return netip.PrefixFrom(address, 64), nil
	}
	return netip.PrefixFrom(address, int(ip.Prefix)), nil
}

// readForwards takes the <portForward>s.
func readForwards(where string, n *lx.DomainInterface, result *Interface) error {
	if len(n.PortForward) > 0 && result.Type != InterfaceUser {
		return virerr.New(libvirt.ErrConfigUnsupported, "%s: element <portForward> is available with type='user' only", where)
	}
	ports, ranges := 0, 0
	for _, f := range n.PortForward {
		if ranges += len(f.Ranges); ranges > maxRanges {
			return unsupported("%s: the forwarded ports are given in more than %d ranges", where, maxRanges)
		}
		forward, err := readForward(where, f)
		if err != nil {
			return err
		}
		for _, r := range forward.Ranges {
			if !r.Exclude {
				ports += int(r.End) - int(r.Start) + 1
			}
		}
		if ports > maxForwards {
			return unsupported("%s: more than %d ports are forwarded", where, maxForwards)
		}
		result.Forwards = append(result.Forwards, forward)
	}
	return checkForwards(*result, Interface{})
}

func readForward(where string, f lx.DomainInterfaceSourcePortForward) (Forward, error) {
	forward := Forward{Protocol: f.Proto, Device: f.Dev}
	switch f.Proto {
	case "tcp", "udp":
	case "":
		return forward, virerr.In(virerr.XML, libvirt.ErrXMLError, "Missing required attribute 'proto' in element 'portForward'")
	default:
		return forward, badElement("proto", "portForward", f.Proto)
	}
	if f.Address != "" {
		address, err := netip.ParseAddr(f.Address)
		if err != nil {
			return forward, invalid("Invalid address '%s' in <portForward>", f.Address)
		}
		forward.Address = address.Unmap()
	}
	if f.Dev != "" {
		if err := checkHostDevice(where, "portForward", f.Dev); err != nil {
			return forward, err
		}
	}
	forwarded := 0
	for _, r := range f.Ranges {
		parsed, err := readRange(where, r)
		if err != nil {
			return forward, err
		}
		if !parsed.Exclude {
			forwarded++
		}
		forward.Ranges = append(forward.Ranges, parsed)
	}
	if forwarded == 0 {
		return forward, unsupported("%s: element <portForward>: all ports at once cannot be forwarded, name them with <range start='...'/>", where)
	}
	return forward, nil
}

func readRange(where string, r lx.DomainInterfaceSourcePortForwardRange) (ForwardRange, error) {
	switch {
	case r.Exclude != "" && r.Exclude != "yes" && r.Exclude != "no":
		return ForwardRange{}, badElement("exclude", "range", r.Exclude)
	case r.Start == 0:
		return ForwardRange{}, virerr.New(libvirt.ErrConfigUnsupported,
			"The 'range' of a 'portForward' requires 'start' attribute if 'end', 'to', or 'exclude' is specified")
	case r.Start > 65535 || r.End > 65535:
		return ForwardRange{}, invalid("%s: element <range>: %d to %d are no ports, the last one is 65535", where, r.Start, r.End)
	}
	end, to := r.End, r.To
	if end == 0 {
		end = r.Start
	}
	if to == 0 {
		to = r.Start
	}
	switch {
	case end < r.Start:
		return ForwardRange{}, invalid("%s: element <range>: it ends at %d, before its start at %d", where, end, r.Start)
	case to > 65535 || to+end-r.Start > 65535:
		return ForwardRange{}, invalid("%s: element <range>: port %d leads to the guest's port %d, the last one is 65535", where, end, to+end-r.Start)
	}
	return ForwardRange{Start: uint16(r.Start), End: uint16(end), To: uint16(to), Exclude: r.Exclude == "yes"}, nil
}

// checkForwards refuses ports of the host that would lead to two places: of
// the interfaces a and b, or with a zero b within a.
func checkForwards(a, b Interface) error {
	for i, f := range a.Forwards {
		others := b.Forwards
		if b.MAC == "" {
			others = a.Forwards[:i]
			if port, twice := firstTwice(f.open()); twice {
				return errForwardedTwice(a, f, port)
			}
		}
		for _, g := range others {
			if port, clash := f.clash(g); clash {
				return errForwardedTwice(a, f, port)
			}
		}
	}
	return nil
}

func errForwardedTwice(n Interface, f Forward, port int) error {
	return invalid("%s: %s port %d is forwarded twice", interfaceName(n.MAC), f.Protocol, port)
}

// clash finds the first port at which both f and g listen.
func (f Forward) clash(g Forward) (port int, found bool) {
	apart := f.Protocol != g.Protocol || f.Device != "" && g.Device != "" && f.Device != g.Device ||
		f.Address.IsValid() && g.Address.IsValid() && !f.Address.IsUnspecified() && !g.Address.IsUnspecified() && f.Address != g.Address
	if apart {
		return 0, false
	}
	return firstTwice(append(f.open(), g.open()...))
}

// span are the ports from first to last.
type span struct{ first, last int }

// open are the ports at which f listens: its ranges less what it excludes.
func (f Forward) open() []span {
	var spans, holes []span
	for _, r := range f.Ranges {
		if r.Exclude {
			holes = append(holes, span{int(r.Start), int(r.End)})
		}
	}
	slices.SortFunc(holes, byFirst)
	for _, r := range f.Ranges {
		if r.Exclude {
			continue
		}
		next := int(r.Start)
		for _, hole := range holes {
			if next < hole.first {
				spans = append(spans, span{next, min(int(r.End), hole.first-1)})
			}
			next = max(next, hole.last+1)
			if next > int(r.End) {
				break
			}
		}
		if next <= int(r.End) {
			spans = append(spans, span{next, int(r.End)})
		}
	}
	return spans
}

func byFirst(a, b span) int { return cmp.Compare(a.first, b.first) }

// firstTwice finds the first port that is in two of the spans, which it sorts.
func firstTwice(spans []span) (port int, found bool) {
	slices.SortFunc(spans, byFirst)
	for i := 1; i < len(spans); i++ {
		if spans[i].first <= spans[i-1].last {
			return spans[i].first, true
		}
	}
	return 0, false
}
