package networkxml

// CheckSupport refuses what libvirt has and a network in user space has not
// (ErrConfigUnsupported). Some attributes mean nothing there and are kept as
// they are: <bridge stp, delay, zone, macTableManager>, the ports of <nat>
// (the host's kernel picks them) and trustGuestRxFilters.
func (n *Network) CheckSupport() error {
	f := &n.Forward
	switch {
	case f.Mode == Route:
		return unsupported("forward mode 'route' is not available: only the host's own kernel can route the guests' addresses; use mode='nat', or mode='bridge' with a bridge of the host")
	case f.Mode == Hostdev:
		return unsupported("forward mode 'hostdev' is not available: User Mode Linux has no PCI devices")
	case f.PF != "":
		return unsupported("element <forward><pf> is not available: name a device with <interface dev='...'/>")
	case f.NATFirst.IsValid():
		return unsupported("element <nat><address> is not available: connections leave with the host's own address")
	case f.Mode.Virtual() && len(f.Interfaces) > 0:
		return unsupported("attribute 'dev' of <forward mode='%s'> is not available: the host's routes choose the device, leave it out", f.Mode)
	case !f.Mode.Virtual() && n.Bridge.Name == "" && len(f.Interfaces) != 1:
		return unsupported("network '%s' with forward mode='%s' needs exactly one device of the host: <forward dev='...'> or <bridge name='...'/>", n.Name, f.Mode)
	case len(n.Routes) > 0:
		return unsupported("element <route> is not available: set the route in the guests")
	case n.MTU != 0 && (n.MTU < minMTU || n.MTU > maxMTU):
		return unsupported("mtu size %d of network '%s' is not between %d and %d", n.MTU, n.Name, minMTU, maxMTU)
	}
	for i := range n.IPs {
		if n.IPs[i].TFTPRoot != "" {
			return unsupported("element <tftp> is not available: a kernel comes from the domain's <os>")
		}
	}
	return n.checkVLANs()
}

// The MTU is in bytes: less than 68 is no IPv4 (RFC 791), and UML sends no
// more than 65535 bytes (arch/um/drivers/vector_kern.c).
const (
	minMTU = 68
	maxMTU = 65535 - 14
)

// checkVLANs refuses what one port of a switch cannot be.
func (n *Network) checkVLANs() error {
	vlans := []*VLAN{n.VLAN}
	for _, g := range n.PortGroups {
		vlans = append(vlans, g.VLAN)
	}
	for _, v := range vlans {
		switch {
		case v == nil:
		case v.NativeMode == "tagged":
			return unsupported("nativeMode='tagged' in <vlan> is not available")
		}
	}
	return nil
}
