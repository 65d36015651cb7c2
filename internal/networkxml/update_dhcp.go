package networkxml

import (
	"slices"
)

// ipFor returns the <ip> that an update is for (virNetworkIPDefByIndex).
func (n *Network) ipFor(index int) (*IP, error) {
	if index >= 0 {
		if index >= len(n.IPs) {
			return nil, wrongState("couldn't update dhcp host entry - no <ip> element found at index %d in network '%s'", index, n.Name)
		}
		return &n.IPs[index], nil
	}
	for _, fits := range []func(*IP) bool{
		(*IP).HasDHCP,
		func(ip *IP) bool { return ip.Address.Is4() },
		func(*IP) bool { return true },
	} {
		for i := range n.IPs {
			if fits(&n.IPs[i]) {
				return &n.IPs[i], nil
			}
		}
	}
	return nil, wrongState("couldn't update dhcp host entry - no <ip> element found in network '%s'", n.Name)
}

// checkOnlyDHCP refuses a second <ip> of a family with DHCP.
func (n *Network) checkOnlyDHCP(ip *IP) error {
	for i := range n.IPs {
		if other := &n.IPs[i]; other != ip && other.Address.Is4() == ip.Address.Is4() && other.HasDHCP() {
			family := "IPv6"
			if ip.Address.Is4() {
				family = "IPv4"
			}
			return wrongState("dhcp is supported only for a single %s address on each network", family)
		}
	}
	return nil
}

// matchesAny reports whether h and other have an address or a name in common.
func (h *Host) matchesAny(other *Host) bool {
	return sameMAC(h.MAC, other.MAC) ||
		(h.Address.IsValid() && h.Address == other.Address) ||
		(h.Name != "" && h.Name == other.Name)
}

// matchesAll reports whether other has all that h says.
func (h *Host) matchesAll(other *Host) bool {
	return (h.MAC == "" || other.MAC == "" || sameMAC(h.MAC, other.MAC)) &&
		(h.Name == "" || h.Name == other.Name) &&
		(!h.Address.IsValid() || h.Address == other.Address)
}

// orElse is what libvirt prints for what is absent.
func orElse(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

func errHostExists(network string, h *Host) error {
	return wrongState("there is an existing dhcp host entry in network '%s' that matches \"<host mac='%s' name='%s' ip='%s'/>\"",
		network, orElse(h.MAC, "unknown"), orElse(h.Name, "(null)"), orElse(address(h.Address), "unknown"))
}

func (n *Network) updateHost(c Command, index int, doc *node) error {
	if err := n.expect(doc, "host"); err != nil {
		return err
	}
	ip, err := n.ipFor(index)
	if err != nil {
		return err
	}
	h, err := readHost(n.Name, ip, doc, c == remove)
	if err != nil {
		return err
	}
	if c != remove && h.Address.Is4() != ip.Address.Is4() {
		return wrongState("the address family of a host entry IP must match the address family of the dhcp element's parent")
	}
	any := slices.IndexFunc(ip.Hosts, func(o Host) bool { return h.matchesAny(&o) })
	switch {
	case c == modify && any < 0:
		return wrongState("couldn't locate an existing dhcp host entry with \"mac='%s'\" \"name='%s'\" \"ip='%s'\" in network '%s'",
			orElse(h.MAC, "unknown"), orElse(h.Name, "(null)"), address(h.Address), n.Name)
	case c == modify:
		ip.Hosts[any] = h
	case adds(c):
		if err := n.checkOnlyDHCP(ip); err != nil {
			return err
		}
		if any >= 0 {
			return errHostExists(n.Name, &h)
		}
		ip.Hosts = insert(ip.Hosts, c, h)
	case c == remove:
		at := slices.IndexFunc(ip.Hosts, func(o Host) bool { return h.matchesAll(&o) })
		if at < 0 {
			return wrongState("couldn't locate a matching dhcp host entry in network '%s'", n.Name)
		}
		ip.Hosts = slices.Delete(ip.Hosts, at, at+1)
	default:
		return unknownCommand(c)
	}
	return nil
}

func (n *Network) updateRange(c Command, index int, doc *node) error {
	if err := n.expect(doc, "range"); err != nil {
		return err
	}
	ip, err := n.ipFor(index)
	if err != nil {
		return err
	}
	if c == modify {
		return noSupport("dhcp ranges cannot be modified, only added or deleted")
	}
	r, err := readRange(n.Name, ip, doc)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(ip.Ranges, func(o Range) bool { return o.First == r.First && o.Last == r.Last })
	switch {
	case adds(c):
		if err := n.checkOnlyDHCP(ip); err != nil {
			return err
		}
		if at >= 0 {
			return wrongState("there is an existing dhcp range entry in network '%s' that matches \"<range start='%s' end='%s'/>\"", n.Name, r.First, r.Last)
		}
		ip.Ranges = insert(ip.Ranges, c, r)
	case c == remove && at < 0:
		return wrongState("couldn't locate a matching dhcp range entry in network '%s'", n.Name)
	case c == remove:
		ip.Ranges = slices.Delete(ip.Ranges, at, at+1)
	default:
		return unknownCommand(c)
	}
	return nil
}
