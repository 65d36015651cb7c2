package networkxml

import (
	"crypto/rand"
	"net/netip"
)

// Check refuses what libvirt refuses when a network is defined
// (src/network/bridge_driver.c, networkValidate), and addresses that cannot
// work, with which libvirt would only fail at the start.
func (n *Network) Check() error {
	for _, check := range []func() error{n.checkLent, n.checkOneDHCP, n.checkPortGroups, n.checkAddresses, n.checkHosts} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// SetMAC makes up the gateway's address where there is none.
func (n *Network) SetMAC() {
	if n.MAC != "" || !n.Forward.Mode.Virtual() {
		return
	}
	mac := [6]byte{0x52, 0x54, 0x00}
	rand.Read(mac[3:]) // never fails (crypto/rand)
	n.MAC = formatMAC(mac)
}

// checkLent refuses what only networks of libvirt's own making can have.
func (n *Network) checkLent() error {
	mode := n.Forward.Mode
	if mode.Virtual() {
		return nil
	}
	element := ""
	switch {
	case n.MAC != "":
		element = "mac"
	case len(n.IPs) > 0:
		element = "ip"
	case len(n.DNS.TXT)+len(n.DNS.Hosts)+len(n.DNS.SRV) > 0:
		element = "dns"
	case n.Domain.Name != "":
		element = "domain"
	case n.Bandwidth != nil && n.Bridge.Name == "":
		return unsupported("Unsupported network-wide <bandwidth> element in network %s with forward mode='%s'", n.Name, mode)
	case mode == Hostdev && len(n.Forward.Interfaces) > 0:
		return unsupported("hostdev network '%s' lists '%s' in the device pool, but hostdev networks require all devices to be listed by PCI address, not network device name",
			n.Name, n.Forward.Interfaces[0])
	case n.Forward.PF != "" && len(n.Forward.Interfaces) > 0:
		return unsupported("<address>, <interface>, and <pf> elements of <forward> in network %s are mutually exclusive", n.Name)
	default:
		return nil
	}
	return unsupported("Unsupported <%s> element in network %s with forward mode='%s'", element, n.Name, mode)
}

func (n *Network) checkOneDHCP() error {
	ipv4, ipv6 := 0, 0
	for i := range n.IPs {
		switch {
		case !n.IPs[i].HasDHCP():
		case n.IPs[i].Address.Is4():
			ipv4++
		default:
			ipv6++
		}
	}
	switch {
	case ipv4 > 1:
		return unsupported("Multiple IPv4 dhcp sections found -- dhcp is supported only for a single IPv4 address on each network")
	case ipv6 > 1:
		return unsupported("Multiple IPv6 dhcp sections found -- dhcp is supported only for a single IPv6 address on each network")
	}
	return nil
}

// checkPortGroups passes VLANs that libvirt has to refuse for its bridges.
func (n *Network) checkPortGroups() error {
	standard := ""
	for i, g := range n.PortGroups {
		if g.Default && standard != "" {
			return unsupported("network '%s' has multiple default <portgroup> elements (%s and %s), but only one default is allowed", n.Name, standard, g.Name)
		}
		if g.Default {
			standard = g.Name
		}
		for _, other := range n.PortGroups[i+1:] {
			if other.Name == g.Name {
				return unsupported("multiple <portgroup> elements with the same name (%s) in network '%s'", g.Name, n.Name)
			}
		}
		if g.Bandwidth != nil && !n.Forward.Mode.Virtual() && n.Bridge.Name == "" {
			return unsupported("Unsupported <bandwidth> element in network '%s' in portgroup '%s' with forward mode='%s'", n.Name, g.Name, n.Forward.Mode)
		}
	}
	return nil
}

// checkAddresses refuses gateways that no guest could speak with.
func (n *Network) checkAddresses() error {
	for i := range n.IPs {
		gateway := n.IPs[i].Gateway()
		if !gateway.IsValid() || gateway.Bits() == 0 {
			return internal("bridge '%s' has an invalid netmask or IP address", n.Bridge.Name)
		}
		if err := n.checkGateway(gateway); err != nil {
			return err
		}
		for j := range n.IPs[:i] {
			if other := n.IPs[j].Gateway(); other.Overlaps(gateway) {
				return unsupported("addresses %s and %s of network '%s' are in the same network, give each <ip> one of its own", other, gateway, n.Name)
			}
		}
	}
	return nil
}

func (n *Network) checkGateway(gateway netip.Prefix) error {
	a := gateway.Addr()
	if a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() {
		return unsupported("address '%s' of network '%s' cannot be that of a host", a, n.Name)
	}
	if !a.Is4() || gateway.Bits() > 30 {
		return nil
	}
	network := gateway.Masked()
	if a == network.Addr() || a == broadcast(network) {
		return unsupported("address '%s' of network '%s' is the network or broadcast address of %s", a, n.Name, network)
	}
	return nil
}

// checkHosts refuses DHCP hosts that take another's address or name.
func (n *Network) checkHosts() error {
	for i := range n.IPs {
		ip := &n.IPs[i]
		for j, h := range ip.Hosts {
			if h.Address.Is4() != ip.Address.Is4() || !ip.Gateway().Masked().Contains(h.Address) {
				return unsupported("static host definition ip='%s' in network '%s' is not within %s", h.Address, n.Name, ip.Gateway().Masked())
			}
			if h.Address == ip.Address {
				return unsupported("static host definition ip='%s' in network '%s' is the network's own address", h.Address, n.Name)
			}
			for _, other := range ip.Hosts[:j] {
				if h.matchesAny(&other) || (h.ID != "" && h.ID == other.ID) {
					return errHostExists(n.Name, &h)
				}
			}
		}
	}
	return nil
}
