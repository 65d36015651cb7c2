package networkxml

import (
	"net/netip"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/virerr"
)

// readRoute reads <route> (src/conf/networkcommon_conf.c,
// virNetDevIPRouteCreate).
func readRoute(network string, c *node) (r RouteEntry, err error) {
	r.Family = c.get("family")
	if r.Prefix, r.HasPrefix, err = c.number("prefix"); err != nil {
		return r, err
	}
	metric, hasMetric, err := c.number("metric")
	if err != nil {
		return r, err
	}
	if hasMetric && metric == 0 {
		return r, virerr.In(virerr.XML, libvirt.ErrXMLError,
			"Invalid value for attribute 'metric' in element 'route': Zero is not permitted")
	}
	r.Metric = metric
	if err := r.readAddresses(network, c); err != nil {
		return r, err
	}
	return r, r.check(network, c)
}

func (r *RouteEntry) readAddresses(network string, c *node) (err error) {
	for _, a := range []struct {
		to         *netip.Addr
		attr, what string
		required   bool
	}{
		{&r.Address, "address", "network", true},
		{&r.Gateway, "gateway", "gateway", true},
		{&r.Netmask, "netmask", "netmask", false},
	} {
		text, ok := c.attr(a.attr)
		if !ok {
			if a.required {
				return invalid("%s: Missing required %s attribute in route definition", network, a.attr)
			}
			continue
		}
		if *a.to, err = parseAddress(text); err != nil {
			return invalid("%s: Bad %s address '%s' in route definition", network, a.what, text)
		}
	}
	return nil
}

func (r *RouteEntry) check(network string, c *node) error {
	longest := uint(32)
	switch r.Family {
	case "", "ipv4":
		if !r.Address.Is4() {
			return invalid("%s: %s family specified for non-IPv4 address '%s' in route definition", network, familyName(r.Family), r.Address)
		}
		if !r.Gateway.Is4() {
			return invalid("%s: %s family specified for non-IPv4 gateway '%s' in route definition", network, familyName(r.Family), r.Address)
		}
		if r.Netmask.IsValid() && !r.Netmask.Is4() {
			return invalid("%s: Invalid netmask '%s' for address '%s' (both must be IPv4)", network, r.Netmask, r.Address)
		}
		if r.Netmask.IsValid() && r.HasPrefix {
			return invalid("%s: Route definition cannot have both a prefix and a netmask", network)
		}
	case "ipv6":
		longest = 128
		if r.Address.Is4() {
			return invalid("%s: ipv6 family specified for non-IPv6 address '%s' in route definition", network, r.Address)
		}
		if r.Netmask.IsValid() {
			return invalid("%s: Specifying netmask invalid for IPv6 address '%s' in route definition", network, r.Address)
		}
		if r.Gateway.Is4() {
			return invalid("%s: ipv6 specified for non-IPv6 gateway address '%s' in route definition", network, r.Gateway)
		}
	default:
		return invalid("%s: Unrecognized family '%s' in route definition", network, r.Family)
	}
	if r.Prefix > longest {
		return invalid("%s: Invalid prefix %d specified in route definition, must be 0 - %d", network, r.Prefix, longest)
	}
	bits := int(r.Prefix)
	if r.Netmask.IsValid() {
		bits = maskBits(r.Netmask)
	}
	if p := netip.PrefixFrom(r.Address, bits); !p.IsValid() || p.Masked() != p {
		return invalid("%s: Address '%s' in route definition is not a network address", network, c.get("address"))
	}
	return nil
}

func familyName(family string) string {
	if family == "" {
		return "No"
	}
	return "IPv4"
}
