package domxml

import (
	"net/netip"

	libvirt "github.com/digitalocean/go-libvirt"
	lx "libvirt.org/go/libvirtxml"

	"virtumld/internal/virerr"
)

// readInterfaceSource takes the type of an interface and its <source>.
func readInterfaceSource(where string, s *lx.DomainInterfaceSource, n *Interface) error {
	switch {
	case s.User != nil:
		n.Type, n.Source = InterfaceUser, s.User.Dev
		if n.Source == "" {
			return nil
		}
		return checkHostDevice(where, "source", n.Source)
	case s.Network != nil:
		n.Type, n.Source, n.Portgroup = InterfaceNetwork, s.Network.Network, s.Network.PortGroup
		return needAttribute("network", n.Source)
	case s.Bridge != nil:
		n.Type, n.Source = InterfaceBridge, s.Bridge.Bridge
		return needHostDevice(where, "bridge", n.Source)
	case s.Direct != nil:
		return readDirect(where, s.Direct, n)
	case s.Ethernet != nil:
		n.Type = InterfaceEthernet
		return nil
	case s.MCast != nil:
		n.Type = InterfaceMcast
		return readSocket(where, n, s.MCast.Address, s.MCast.Port, s.MCast.Local)
	case s.UDP != nil:
		n.Type = InterfaceUDP
		return readSocket(where, n, s.UDP.Address, s.UDP.Port, s.UDP.Local)
	case s.Server != nil:
		n.Type = InterfaceServer
		return readSocket(where, n, s.Server.Address, s.Server.Port, s.Server.Local)
	case s.Client != nil:
		n.Type = InterfaceClient
		return readSocket(where, n, s.Client.Address, s.Client.Port, s.Client.Local)
	case s.VHostUser != nil:
		n.Type = InterfaceVHostUser
		return readVHostUser(where, s.VHostUser, n)
	}
	return refuseType(where, s)
}

// refuseType refuses the types that no UML guest can have, and those that
// libvirt does not have.
func refuseType(where string, s *lx.DomainInterfaceSource) error {
	kind, hint := "", ""
	switch {
	case s.Internal != nil:
		kind, hint = "internal", "use type='network' with an isolated network"
	case s.Hostdev != nil:
		kind, hint = "hostdev", "host devices cannot be passed through, use type='direct'"
	case s.VDPA != nil:
		kind, hint = "vdpa", "use type='direct'"
	case s.VDS != nil:
		kind, hint = "vds", "use type='network'"
	case s.Null != nil:
		kind, hint = "null", "use type='user' with <link state='down'/>"
	default:
		return virerr.In(virerr.XML, libvirt.ErrXMLError, "Invalid value for attribute 'type' in element 'interface'.")
	}
	return unsupported("%s: element <interface>: type='%s' is not available in User Mode Linux guests: %s", where, kind, hint)
}

// needAttribute refuses a <source> without its attribute.
func needAttribute(name, value string) error {
	if value == "" {
		return virerr.In(virerr.XML, libvirt.ErrXMLError, "Missing required attribute '%s' in element 'source'", name)
	}
	return nil
}

func needHostDevice(where, attribute, dev string) error {
	if err := needAttribute(attribute, dev); err != nil {
		return err
	}
	return checkHostDevice(where, "source", dev)
}

func readDirect(where string, s *lx.DomainInterfaceSourceDirect, n *Interface) error {
	n.Type, n.Source, n.Mode = InterfaceDirect, s.Dev, s.Mode
	switch s.Mode {
	case "vepa", "bridge", "private", "passthrough":
	default:
		return badElement("mode", "source", s.Mode)
	}
	return needHostDevice(where, "dev", s.Dev)
}

// readSocket takes the addresses of a tunnel over a socket.
func readSocket(where string, n *Interface, address string, port uint, local *lx.DomainInterfaceSourceLocal) error {
	if n.Type != InterfaceServer {
		if err := needAttribute("address", address); err != nil {
			return err
		}
	}
	if n.Type == InterfaceUDP {
		switch {
		case local == nil:
			return invalid("'<local>' element missing for 'udp' socket interface")
		case local.Address == "":
			return virerr.In(virerr.XML, libvirt.ErrXMLError, "Missing required attribute 'address' in element 'local'")
		}
	}
	var err error
	if n.Remote, err = readSocketAddress(where, "source", address, port, true); err != nil {
		return err
	}
	if n.Type == InterfaceMcast && !netip.MustParseAddr(address).IsMulticast() {
		return invalid("%s: '%s' is no multicast address", where, address)
	}
	if local == nil {
		return nil
	}
	n.Local, err = readSocketAddress(where, "local", local.Address, local.Port, n.Type == InterfaceUDP)
	return err
}

func readSocketAddress(where, element, address string, port uint, needPort bool) (SocketAddress, error) {
	if address != "" {
		if _, err := netip.ParseAddr(address); err != nil {
			return SocketAddress{}, invalid("%s: element <%s>: '%s' is no IP address", where, element, address)
		}
	}
	switch {
	case port == 0 && needPort:
		return SocketAddress{}, virerr.In(virerr.XML, libvirt.ErrXMLError, "Missing required attribute 'port' in element '%s'", element)
	case port > 65535:
		return SocketAddress{}, invalid("%s: element <%s>: port %d is too large, the last one is 65535", where, element, port)
	}
	return SocketAddress{Address: address, Port: uint16(port)}, nil
}
