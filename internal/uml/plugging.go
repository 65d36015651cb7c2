package uml

import (
	"context"
	"net"
	"net/netip"
	"path/filepath"
	"slices"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/domxml"
	"virtumld/internal/netd"
	"virtumld/internal/netswitch"
	"virtumld/internal/network"
	"virtumld/internal/supervisor"
	"virtumld/internal/virerr"
)

// Networks tell how a guest's interface joins a virtual network.
type Networks interface {
	// Join is network.Manager's: its errors are libvirt's, of a network
	// that is not there or not active.
	Join(ctx context.Context, name, portgroup string) (network.Joint, error)
}

// owner is the domain of an interface.
type owner struct{ name, uuid string }

func ownerOf(def *domxml.Definition) owner { return owner{def.Name, def.UUID.String()} }

// withOwnInterfaces is def with a list of interfaces that can be changed.
func withOwnInterfaces(def *domxml.Definition) *domxml.Definition {
	next := *def
	next.Interfaces = slices.Clone(def.Interfaces)
	return &next
}

// joinAll asks for the networks of all interfaces, in their order. What the
// networks decide for their guests is set in the interfaces.
func (m *Machine) joinAll(ctx context.Context, interfaces []domxml.Interface) ([]network.Joint, error) {
	joints := make([]network.Joint, len(interfaces))
	for i := range interfaces {
		var err error
		if joints[i], err = m.join(ctx, &interfaces[i]); err != nil {
			return nil, err
		}
	}
	return joints, nil
}

// join asks for the network of an interface that has one.
func (m *Machine) join(ctx context.Context, n *domxml.Interface) (network.Joint, error) {
	if n.Type == domxml.InterfaceBridge && n.MTU == 0 {
		n.MTU = bridgeMTU(n.Source)
	}
	if n.Type == domxml.InterfaceUser && n.MTU == 0 {
		n.MTU = userMTU
	}
	if n.Type != domxml.InterfaceNetwork {
		return network.Joint{}, nil
	}
	if m.Networks == nil {
		return network.Joint{}, virerr.In(virerr.Network, libvirt.ErrNoNetwork, "Network not found: no network with matching name '%s'", n.Source)
	}
	joint, err := m.Networks.Join(ctx, n.Source, n.Portgroup)
	if err == nil && n.MTU == 0 {
		n.MTU = joint.MTU
	}
	if err == nil && n.MTU == 0 {
		n.MTU = bridgeMTU(joint.Bridge)
	}
	return joint, err
}

// usualMTU is Ethernet's, which guests have without being told.
const usualMTU = 1500

// bridgeMTU is the MTU of a guest behind a bridge of the host: as in libvirt
// the bridge's, and 0 for the usual one. That there is no such bridge is for
// who joins it to say.
func bridgeMTU(name string) int {
	bridge, err := net.InterfaceByName(name)
	if name == "" || err != nil || bridge.MTU == usualMTU {
		return 0
	}
	return bridge.MTU
}

// plugging is what a supervisor has to know of an interface. device is what
// the kernel is told of it.
func (m *Machine) plugging(ctx context.Context, o owner, n domxml.Interface, joint network.Joint, device string) (supervisor.Interface, error) {
	if err := checkVLANs(n); err != nil {
		return supervisor.Interface{}, err
	}
	i := supervisor.Interface{Unit: n.Unit, Device: device, Port: port(o, n, joint), Network: joint.Dir}
	if i.Port.ID == "" {
		i.Port.ID = i.String()
	}
	if i.Network != "" {
		return i, nil
	}
	own, err := private(ctx, n, joint)
	if err != nil {
		return i, err
	}
	if own.Tap != nil {
		if err := devicePort(own, &i.Port, n.Type); err != nil {
			return i, err
		}
	}
	own.Name = o.name + " " + i.String()
	own.Dir = filepath.Join(m.Paths.Guest(o.uuid), "net-"+i.String())
	own.Parent = true
	if m.User != nil {
		own.User = &netd.User{UID: m.User.UID, GID: m.User.GID}
	}
	i.Own = own
	return i, nil
}

// port are the settings of an interface on its network. What the interface
// says itself goes before what its portgroup or network does.
func port(o owner, n domxml.Interface, joint network.Joint) netd.Port {
	p := netd.Port{ID: n.PortID, Owner: o.name, OwnerUUID: o.uuid, MAC: n.MAC}
	p.PortConfig = netswitch.PortConfig{
		Name: n.Target, Isolated: n.Isolated || joint.Isolated, Down: n.Down,
		VLAN: joint.VLAN, Trunk: joint.Trunk, Tags: joint.Tags, In: joint.In, Out: joint.Out,
	}
	if len(n.VLANs) > 0 {
		p.VLAN, p.Trunk, p.Tags = vlan(n)
	}
	if n.Outbound.Average != 0 {
		p.In = shape(n.Outbound)
	}
	if n.Inbound.Average != 0 {
		p.Out = shape(n.Inbound)
	}
	link := n.Link.Or(joint.Link)
	p.In, p.Out = linked(p.In, link), linked(p.Out, link)
	return p
}

// linked makes a link as bad as it is to be.
func linked(s netswitch.Shape, l domxml.Link) netswitch.Shape {
	s.Delay, s.Jitter, s.Loss = l.Delay, l.Jitter, l.Loss
	return s
}

// vlan is the VLAN whose frames are untagged, whether others are there too, and
// which.
func vlan(n domxml.Interface) (id uint16, trunk bool, tags []uint16) {
	if !n.Trunk {
		return n.VLANs[0].ID, false, nil
	}
	for _, tag := range n.VLANs {
		if tag.Native == "untagged" {
			id = tag.ID
		} else {
			tags = append(tags, tag.ID)
		}
	}
	return id, true, tags
}

// checkVLANs refuses what one port of a switch cannot be.
func checkVLANs(n domxml.Interface) error {
	for _, tag := range n.VLANs {
		if tag.Native == "tagged" {
			return virerr.In(virerr.UML, libvirt.ErrConfigUnsupported,
				"<interface> %s: nativeMode='tagged' in <vlan> is not available; use nativeMode='untagged' or none", n.MAC)
		}
	}
	return nil
}

// devicePort has the host's device take care of VLANs and isolation: the port of
// a bridge is given them, and through a tap alone their frames go with tags.
func devicePort(own *netd.Spec, port *netd.Port, kind domxml.InterfaceType) error {
	if kind == domxml.InterfaceEthernet {
		if port.Trunk && port.VLAN != 0 {
			return virerr.In(virerr.UML, libvirt.ErrConfigUnsupported,
				"<interface> %s: a native VLAN is not available with type='ethernet', where all frames of VLANs have tags", port.MAC)
		}
		own.Trunk = port.VLAN != 0 || port.Trunk
		return nil
	}
	own.Tap.Isolated = port.Isolated
	own.Tap.VLAN, own.Tap.Tags = port.VLAN, port.Tags
	port.VLAN, port.Trunk, port.Tags = 0, false, nil
	return nil
}

// shape is a <bandwidth> in bytes.
func shape(b domxml.Bandwidth) netswitch.Shape {
	return netswitch.Shape{
		Average: uint64(b.Average) << 10, Peak: uint64(b.Peak) << 10, Burst: uint64(b.Burst) << 10,
	}
}

// private describes the network of an interface that shares its own with
// nobody.
func private(ctx context.Context, n domxml.Interface, joint network.Joint) (*netd.Spec, error) {
	tap := &netd.Tap{Name: n.Target, MAC: n.MAC, MTU: n.MTU, Down: n.Down}
	switch n.Type {
	case domxml.InterfaceUser:
		gateway, err := userGateway(n)
		return &netd.Spec{Gateway: gateway}, err
	case domxml.InterfaceNetwork:
		tap.Bridge, tap.Direct, tap.Mode = joint.Bridge, joint.Direct, joint.Mode
	case domxml.InterfaceBridge:
		tap.Bridge = n.Source
	case domxml.InterfaceEthernet:
		tap.Keep = n.Unmanaged
	case domxml.InterfaceDirect:
		tap.Direct, tap.Mode = n.Source, directMode(n.Mode)
	case domxml.InterfaceMcast, domxml.InterfaceUDP, domxml.InterfaceServer, domxml.InterfaceClient:
		socket, err := socket(ctx, n)
		return &netd.Spec{Socket: socket}, err
	default:
		return nil, virerr.In(virerr.UML, libvirt.ErrConfigUnsupported, "<interface> %s: type '%s' is not supported", n.MAC, n.Type)
	}
	return &netd.Spec{Tap: tap}, nil
}

// directMode is the kernel's word for a macvtap's mode.
func directMode(mode string) string {
	if mode == "passthrough" {
		return "passthru"
	}
	return mode
}

func socket(ctx context.Context, n domxml.Interface) (*netd.Socket, error) {
	s := &netd.Socket{Kind: netd.SocketKind(n.Type)}
	var err error
	if s.Address, err = resolveAddress(ctx, n, n.Remote); err != nil {
		return nil, err
	}
	if n.Local != (domxml.SocketAddress{}) {
		s.Local, err = resolveAddress(ctx, n, n.Local)
	}
	return s, err
}

// resolveAddress looks up an address that may be a host's name; without one it
// is any.
func resolveAddress(ctx context.Context, n domxml.Interface, a domxml.SocketAddress) (netip.AddrPort, error) {
	if a.Address == "" {
		return netip.AddrPortFrom(netip.IPv4Unspecified(), a.Port), nil
	}
	if address, err := netip.ParseAddr(a.Address); err == nil {
		return netip.AddrPortFrom(address, a.Port), nil
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip4", a.Address)
	if err != nil || len(found) == 0 {
		return netip.AddrPort{}, virerr.New(libvirt.ErrOperationFailed,
			"<interface> %s: cannot resolve the address '%s': %w", n.MAC, a.Address, err)
	}
	return netip.AddrPortFrom(found[0].Unmap(), a.Port), nil
}
