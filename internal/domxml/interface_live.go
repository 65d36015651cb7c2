package domxml

import (
	"slices"

	"github.com/google/uuid"
)

// interfaceLive is what a live document says of an interface beyond its
// configuration.
type interfaceLive struct{ target, portID, bridge string }

// interfaceLives takes what d says of its interfaces, in their order.
func interfaceLives(d *document) []interfaceLive {
	if d.Devices == nil {
		return nil
	}
	lives := make([]interfaceLive, len(d.Devices.Interfaces))
	for i, n := range d.Devices.Interfaces {
		if n.Target != nil {
			lives[i].target = n.Target.Dev
		}
		if n.Source != nil && n.Source.Network != nil {
			lives[i].portID, lives[i].bridge = n.Source.Network.PortID, n.Source.Network.Bridge
		}
	}
	return lives
}

func (l interfaceLive) onto(n *Interface) {
	n.Target, n.PortID, n.Bridge = l.target, l.portID, l.bridge
}

// keepPorts gives those interfaces of d that before had too the names and
// ports that a running guest's have.
func (d *Definition) keepPorts(before *Definition) {
	for i := range d.Interfaces {
		n := &d.Interfaces[i]
		for _, was := range before.Interfaces {
			if was.Unit != n.Unit || was.MAC != n.MAC {
				continue
			}
			if n.Target == "" {
				n.Target = was.Target
			}
			if n.Type == InterfaceNetwork && n.Source == was.Source {
				n.PortID, n.Bridge = was.PortID, was.Bridge
			}
		}
	}
}

// WithPorts returns d as the definition of a running guest: each interface
// without a name on the host gets one from name, which is asked with libvirt's
// prefix for it, and each on a network the uuid of a port on it. Those of type
// vhostuser are without a name, as in libvirt.
func (d *Definition) WithPorts(name func(prefix string) string) *Definition {
	next := *d
	next.Interfaces = slices.Clone(d.Interfaces)
	for i := range next.Interfaces {
		n := &next.Interfaces[i]
		if n.Target == "" && n.Type != InterfaceVHostUser {
			prefix := "vnet"
			if n.Type == InterfaceDirect {
				prefix = "macvtap"
			}
			n.Target = name(prefix)
		}
		if n.Type == InterfaceNetwork && n.PortID == "" {
			n.PortID = uuid.NewString()
		}
	}
	return &next
}
