package domxml

import (
	"strings"

	libvirt "github.com/digitalocean/go-libvirt"
	lx "libvirt.org/go/libvirtxml"

	"virtumld/internal/virerr"
)

// An IP host takes packets of 68 bytes at least (RFC 791); the vector driver's
// packets have at most 65534 (arch/um/drivers/vector_kern.c).
const minMTU, maxMTU = 68, 65534

// readLink takes <link> and <mtu>.
func readLink(where string, n *lx.DomainInterface, result *Interface) error {
	if n.Link != nil {
		switch n.Link.State {
		case "up":
		case "down":
			result.Down = true
		default:
			return virerr.New(libvirt.ErrConfigUnsupported, "unknown interface link state '%s'", n.Link.State)
		}
	}
	if n.MTU == nil {
		return nil
	}
	if n.MTU.Size < minMTU || n.MTU.Size > maxMTU {
		return invalid("%s: an mtu of %d is not available, use %d to %d", where, n.MTU.Size, minMTU, maxMTU)
	}
	result.MTU = int(n.MTU.Size)
	return nil
}

// readBandwidths takes <bandwidth>; the refusals are libvirt's
// (src/conf/netdev_bandwidth_conf.c).
func readBandwidths(_ string, n *lx.DomainInterface, result *Interface) (err error) {
	if n.Bandwidth == nil {
		return nil
	}
	if result.Inbound, err = readBandwidth(n.Bandwidth.Inbound); err != nil {
		return err
	}
	if result.Outbound, err = readBandwidth(n.Bandwidth.Outbound); err != nil {
		return err
	}
	switch {
	case result.Outbound.Floor != 0:
		return virerr.New(libvirt.ErrConfigUnsupported, "'floor' attribute allowed only in <inbound> element")
	case result.Inbound.Floor != 0 && result.Type != InterfaceNetwork:
		return virerr.New(libvirt.ErrConfigUnsupported, "floor attribute is not supported for this config")
	}
	return nil
}

func readBandwidth(b *lx.DomainInterfaceBandwidthParams) (Bandwidth, error) {
	if b == nil {
		return Bandwidth{}, nil
	}
	switch {
	case b.Average == nil && b.Floor == nil:
		return Bandwidth{}, virerr.In(virerr.XML, libvirt.ErrXMLDetail, "Missing mandatory average or floor attributes")
	case b.Average == nil && (b.Peak != nil || b.Burst != nil):
		return Bandwidth{}, virerr.New(libvirt.ErrConfigUnsupported, "'peak' and 'burst' require 'average' attribute")
	}
	var result Bandwidth
	for _, field := range []struct {
		name string
		from *int
		to   *uint32
	}{
		{"average", b.Average, &result.Average}, {"peak", b.Peak, &result.Peak},
		{"burst", b.Burst, &result.Burst}, {"floor", b.Floor, &result.Floor},
	} {
		switch {
		case field.from == nil:
		case *field.from < 0 || int64(*field.from) > 1<<32-1:
			return Bandwidth{}, virerr.New(libvirt.ErrConfigUnsupported, "could not convert bandwidth %s value '%d'", field.name, *field.from)
		default:
			*field.to = uint32(*field.from)
		}
	}
	return result, nil
}

// readVLAN takes <vlan>; the refusals are libvirt's
// (src/conf/netdev_vlan_conf.c).
func readVLAN(where string, n *lx.DomainInterface, result *Interface) error {
	v := n.VLan
	if v == nil {
		return nil
	}
	switch {
	case result.Type != InterfaceNetwork && result.Type != InterfaceBridge && result.Type != InterfaceEthernet:
		return virerr.New(libvirt.ErrConfigUnsupported, "%s: element <vlan> is not available with type='%s', which is no switch", where, result.Type)
	case len(v.Tags) == 0:
		return invalid("missing tag id - each <vlan> must have at least one <tag id='n'/> subelement")
	}
	result.Trunk = strings.EqualFold(v.Trunk, "yes")
	native := false
	for _, tag := range v.Tags {
		switch {
		case tag.ID > 4095:
			return invalid("vlan tag id %d too large (maximum 4095)", tag.ID)
		case tag.NativeMode != "" && tag.NativeMode != "tagged" && tag.NativeMode != "untagged":
			return badElement("nativeMode", "tag", tag.NativeMode)
		case tag.NativeMode != "" && native:
			return invalid("duplicate native vlan setting")
		}
		native = native || tag.NativeMode != ""
		result.VLANs = append(result.VLANs, VLAN{ID: uint16(tag.ID), Native: tag.NativeMode})
	}
	switch {
	case result.Trunk || v.Trunk == "":
		return nil
	case len(v.Tags) > 1:
		return invalid("invalid \"trunk='%s'\" in <vlan> - trunk='yes' is required for more than one vlan tag", v.Trunk)
	case native:
		return invalid("invalid configuration in <vlan> - \"trunk='no'\" is not allowed with a native vlan id")
	case !strings.EqualFold(v.Trunk, "no"):
		return invalid("invalid \"trunk='%s'\" in <vlan> - must be yes or no", v.Trunk)
	}
	return nil
}

// readPortOptions takes <port>.
func readPortOptions(_ string, n *lx.DomainInterface, result *Interface) error {
	if n.PortOptions == nil {
		return nil
	}
	switch n.PortOptions.Isolated {
	case "", "no":
	case "yes":
		result.Isolated = true
	default:
		return badElement("isolated", "port", n.PortOptions.Isolated)
	}
	if result.Isolated && result.Type != InterfaceNetwork && result.Type != InterfaceBridge {
		return virerr.New(libvirt.ErrConfigUnsupported,
			"interface %s - <port isolated='yes'/> is not supported for network interfaces with type='%s'", result.MAC, result.Type)
	}
	return nil
}

// readBackend takes <backend>. Where libvirt runs passt for a user interface,
// the guest gets our own user-mode network, which does the same.
func readBackend(where string, n *lx.DomainInterface, result *Interface) error {
	b := n.Backend
	if b == nil {
		return nil
	}
	switch {
	case b.Type != "" && b.Type != "default" && b.Type != "passt":
		return badElement("type", "backend", b.Type)
	case b.Type == "passt" && result.Type != InterfaceUser:
		return virerr.New(libvirt.ErrConfigUnsupported, "The 'passt' backend can only be used with interface type='user'")
	case b.LogFile != "" && result.Type != InterfaceUser:
		return virerr.New(libvirt.ErrConfigUnsupported, "%s: <backend logFile> is available with type='user' only", where)
	case b.LogFile != "":
		if err := checkPath(where, b.LogFile); err != nil {
			return err
		}
	}
	if b.Type == "passt" {
		result.Backend = b.Type
	}
	result.LogFile = b.LogFile
	return refuseIn(where, []refusal{
		{"backend hostname", b.Hostname != "", "the guest's own name is what its DHCP client sends"},
		{"backend fqdn", b.FQDN != "", "the guest's own name is what its DHCP client sends"},
	})
}
