package domxml

import (
	"net"
	"strconv"
	"strings"

	libvirt "github.com/digitalocean/go-libvirt"
	lx "libvirt.org/go/libvirtxml"

	"virtumld/internal/virerr"
)

// isGeneratedInterface reports whether an interface's name was made up for a
// running guest, by us or by libvirt (vnet).
func isGeneratedInterface(dev string) bool {
	return strings.HasPrefix(dev, "vnet") || strings.HasPrefix(dev, "vec")
}

func readInterfaces(d *document, def *Definition) error {
	for i := range d.Devices.Interfaces {
		n, err := readInterface(&d.Devices.Interfaces[i])
		if err != nil {
			return err
		}
		if n.Alias == "" {
			n.Alias = "net" + strconv.Itoa(i)
		}
		def.Interfaces = append(def.Interfaces, n)
	}
	return nil
}

// readInterface takes one <interface> of any type.
func readInterface(n *lx.DomainInterface) (Interface, error) {
	result := Interface{}
	kind, source := interfaceSource(n.Source)
	result.Type, result.Source = InterfaceType(kind), source
	if result.Type == "" {
		return result, virerr.In(virerr.XML, libvirt.ErrXMLError, "Invalid value for attribute 'type' in element 'interface'.")
	}
	mac, err := net.ParseMAC(n.MAC.Address)
	if err != nil || len(mac) != 6 {
		return result, invalid("unable to parse mac address '%s'", n.MAC.Address)
	}
	if mac[0]&1 != 0 {
		return result, invalid("expected unicast mac address, found multicast '%s'", n.MAC.Address)
	}
	n.MAC.Address = mac.String()
	result.MAC = n.MAC.Address
	if n.Target != nil {
		result.Target = n.Target.Dev
	}
	if n.Model != nil {
		result.Model = n.Model.Type
	}
	if n.Alias != nil {
		result.Alias = n.Alias.Name
	}
	return result, nil
}

// interfaceSource returns the type attribute of an <interface> and the name
// of what it is joined to, as virsh domiflist shows them.
func interfaceSource(s *lx.DomainInterfaceSource) (kind, name string) {
	switch {
	case s == nil:
		return "", ""
	case s.User != nil:
		return "user", s.User.Dev
	case s.Network != nil:
		return "network", s.Network.Network
	case s.Bridge != nil:
		return "bridge", s.Bridge.Bridge
	case s.Direct != nil:
		return "direct", s.Direct.Dev
	case s.Internal != nil:
		return "internal", s.Internal.Name
	case s.VDPA != nil:
		return "vdpa", s.VDPA.Device
	case s.Ethernet != nil:
		return "ethernet", ""
	case s.VHostUser != nil:
		return "vhostuser", ""
	case s.Server != nil:
		return "server", ""
	case s.Client != nil:
		return "client", ""
	case s.MCast != nil:
		return "mcast", ""
	case s.UDP != nil:
		return "udp", ""
	case s.Hostdev != nil:
		return "hostdev", ""
	case s.Null != nil:
		return "null", ""
	case s.VDS != nil:
		return "vds", ""
	}
	return "", ""
}
