package networkxml

import (
	"slices"
	"strings"
)

var modes = []Mode{Isolated, NAT, Route, Open, Bridged, Private, VEPA, Passthrough, Hostdev}

// readForward reads <forward> (virNetworkForwardDefParseXML).
func (n *Network) readForward(top *node) error {
	f := &n.Forward
	f.Mode = Isolated
	c := top.first("forward")
	if c == nil {
		return nil
	}
	f.Mode = NAT
	if mode := c.get("mode"); mode != "" {
		f.Mode = Mode(mode)
	}
	if !slices.Contains(modes, f.Mode) {
		return unsupported("unknown forwarding type '%s'", f.Mode)
	}
	f.Managed = strings.EqualFold(c.get("managed"), Yes)
	f.Driver = c.first("driver").get("name")
	if !slices.Contains([]string{"", "kvm", "vfio"}, f.Driver) {
		return unsupported("Unknown forward <driver name='%s'/> in network %s", f.Driver, n.Name)
	}
	if err := n.readNAT(c.all("nat")); err != nil {
		return err
	}
	return n.readDevices(c)
}

// readDevices reads the host's devices that a network lends out.
func (n *Network) readDevices(c *node) error {
	f := &n.Forward
	dev, addresses, pfs := c.get("dev"), c.all("address"), c.all("pf")
	if dev != "" {
		if len(addresses) > 0 || len(pfs) > 0 {
			return invalid("the <forward> 'dev' attribute cannot be used when <address> or <pf> sub-elements are present in network %s", n.Name)
		}
		f.Interfaces = []string{dev}
	}
	for i, child := range c.all("interface") {
		name, ok := child.attr("dev")
		switch {
		case !ok:
			return invalid("Missing required dev attribute in <forward> <interface> element of network %s", n.Name)
		case i == 0 && dev != "":
			if name != dev {
				return invalid("<forward dev='%s'> must match first <interface dev='%s'/> in network %s", dev, name, n.Name)
			}
		case slices.Contains(f.Interfaces, name):
			return invalid("interface '%s' can only be listed once in network %s", name, n.Name)
		default:
			f.Interfaces = append(f.Interfaces, name)
		}
	}
	if len(addresses) > 0 {
		return unsupported("element <forward><address>: network '%s' cannot lend PCI devices, User Mode Linux has none", n.Name)
	}
	if len(pfs) > 1 {
		return invalid("Only one <pf> element is allowed in <forward> of network %s", n.Name)
	}
	if len(pfs) == 1 {
		if f.PF = pfs[0].get("dev"); f.PF == "" {
			return invalid("Missing required dev attribute in <pf> element of network '%s'", n.Name)
		}
	}
	return nil
}

// readNAT reads <nat> (virNetworkForwardNatDefParseXML).
func (n *Network) readNAT(found []*node) (err error) {
	if len(found) > 1 {
		return invalid("Only one <nat> element is allowed in <forward> of network %s", n.Name)
	}
	if len(found) == 0 {
		return nil
	}
	c, f := found[0], &n.Forward
	if f.Mode != NAT {
		return invalid("The <nat> element can only be used when <forward> 'mode' is 'nat' in network %s", n.Name)
	}
	if f.NATIPv6, err = c.yesNo("ipv6"); err != nil {
		return err
	}
	for _, name := range []string{"address", "port"} {
		if len(c.all(name)) > 1 {
			return invalid("Only one <%s> element is allowed in <nat> in <forward> in network %s", name, n.Name)
		}
	}
	if err := n.readNATAddress(c.first("address")); err != nil {
		return err
	}
	return n.readNATPort(c.first("port"))
}

func (n *Network) readNATAddress(c *node) (err error) {
	if c == nil {
		return nil
	}
	f := &n.Forward
	for _, name := range []string{"start", "end"} {
		text, ok := c.attr(name)
		if !ok {
			return invalid("missing '%s' attribute in <address> element in <nat> in <forward> in network %s", name, n.Name)
		}
		a, err := parseAddress(text)
		if err != nil || !a.Is4() {
			return invalid("Bad ipv4 %s address '%s' in <nat> in <forward> in network '%s'", name, text, n.Name)
		}
		if name == "start" {
			f.NATFirst = a
		} else {
			f.NATLast = a
		}
	}
	return checkRange(f.NATFirst, f.NATLast, nil)
}

func (n *Network) readNATPort(c *node) (err error) {
	if c == nil {
		return nil
	}
	f := &n.Forward
	if f.PortFirst, err = parseNumber(c.get("start")); err != nil || f.PortFirst > 65535 {
		return detail("Missing or invalid 'start' attribute in <port> in <nat> in <forward> in network %s", n.Name)
	}
	if f.PortLast, err = parseNumber(c.get("end")); err != nil || f.PortLast > 65535 || f.PortLast < f.PortFirst {
		return detail("Missing or invalid 'end' attribute in <port> in <nat> in <forward> in network %s", n.Name)
	}
	return nil
}

// checkMode refuses what does not go with the mode, as virNetworkDefParseXML
// does.
func (n *Network) checkMode(top *node) error {
	mode, bridge := n.Forward.Mode, n.Bridge
	if mode == Isolated {
		return nil
	}
	if mode.Virtual() {
		return n.checkRouted()
	}
	if mode != Bridged {
		switch {
		case bridge.Name != "":
			return invalid("bridge name not allowed in %s mode (network '%s')", mode, n.Name)
		case bridge.Zone != "":
			return invalid("bridge zone not allowed in %s mode (network '%s')", mode, n.Name)
		case bridge.MACTable != "":
			return invalid("bridge macTableManager setting not allowed in %s mode (network '%s')", mode, n.Name)
		}
	}
	switch {
	case bridge.Delay != 0 || top.first("bridge").get("stp") != "" || bridge.Zone != "":
		return invalid("bridge delay/stp/zone options only allowed in route, nat, and isolated mode, not in %s (network '%s')", mode, n.Name)
	case bridge.Name != "" && (len(n.Forward.Interfaces) > 0 || n.Forward.PF != ""):
		return invalid("A network with forward mode='%s' can specify a bridge name or a forward dev, but not both (network '%s')", mode, n.Name)
	case n.MTU != 0:
		return invalid("mtu size only allowed in open, route, nat, and isolated mode, not in %s (network '%s')", mode, n.Name)
	}
	return nil
}

func (n *Network) checkRouted() error {
	mode := n.Forward.Mode
	switch {
	case len(n.IPs) == 0:
		return invalid("%s forwarding requested, but no IP address provided for network '%s'", mode, n.Name)
	case len(n.Forward.Interfaces) > 1:
		return invalid("multiple forwarding interfaces specified for network '%s', only one is supported", n.Name)
	case mode == Open && len(n.Forward.Interfaces) > 0:
		return invalid("forward dev not allowed for network '%s' with forward mode='%s'", n.Name, mode)
	}
	return nil
}
