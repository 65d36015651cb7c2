package driver

import (
	"context"

	libvirt "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"
	lx "libvirt.org/go/libvirtxml"

	"virtumld/internal/netswitch"
	"virtumld/internal/network"
	"virtumld/internal/virerr"
	"virtumld/internal/virxml"
)

// NetworkListAllPorts lists the ports of a network.
func (c *Conn) NetworkListAllPorts(ctx context.Context, a *libvirt.NetworkListAllPortsArgs) (*libvirt.NetworkListAllPortsRet, error) {
	if err := checkNetworkFlags(a.Flags, 0, "virNetworkListAllPorts"); err != nil {
		return nil, err
	}
	ports, err := c.ports(ctx, a.OptNetwork)
	if err != nil {
		return nil, err
	}
	ret := &libvirt.NetworkListAllPortsRet{Ret: uint32(len(ports))}
	if a.NeedResults == 0 {
		return ret, nil
	}
	for _, p := range ports {
		ret.Ports = append(ret.Ports, portObject(p))
	}
	return ret, nil
}

// ports are the ports of an active network.
func (c *Conn) ports(ctx context.Context, n libvirt.Network) ([]network.Port, error) {
	v, err := c.driver.networks.Find(networkSpec(n))
	if err != nil {
		return nil, err
	}
	if !v.Active {
		return nil, virerr.In(virerr.Network, libvirt.ErrOperationInvalid, "network '%s' is not active", v.Name)
	}
	return c.driver.networks.Ports(ctx, v.Spec)
}

// portObject is what clients hold of a port.
func portObject(p network.Port) libvirt.NetworkPort {
	return libvirt.NetworkPort{Net: networkObject(p.Network), UUID: libvirt.UUID(p.UUID)}
}

// port finds a port of a network.
func (c *Conn) port(ctx context.Context, n libvirt.Network, id libvirt.UUID) (network.Port, error) {
	ports, err := c.ports(ctx, n)
	if err != nil {
		return network.Port{}, err
	}
	for _, p := range ports {
		if p.UUID == uuid.UUID(id) {
			return p, nil
		}
	}
	return network.Port{}, virerr.In(virerr.Network, libvirt.ErrNoNetworkPort,
		"Network port with UUID %s does not exist", uuid.UUID(id))
}

// NetworkPortLookupByUUID finds a port by its uuid.
func (c *Conn) NetworkPortLookupByUUID(ctx context.Context, a *libvirt.NetworkPortLookupByUUIDArgs) (*libvirt.NetworkPortLookupByUUIDRet, error) {
	p, err := c.port(ctx, a.OptNetwork, a.UUID)
	if err != nil {
		return nil, err
	}
	return &libvirt.NetworkPortLookupByUUIDRet{Port: portObject(p)}, nil
}

// NetworkPortGetXMLDesc returns a port's document.
func (c *Conn) NetworkPortGetXMLDesc(ctx context.Context, a *libvirt.NetworkPortGetXMLDescArgs) (*libvirt.NetworkPortGetXMLDescRet, error) {
	if err := checkNetworkFlags(a.Flags, 0, "virNetworkPortGetXMLDesc"); err != nil {
		return nil, err
	}
	p, err := c.port(ctx, a.Port.Net, a.Port.UUID)
	if err != nil {
		return nil, err
	}
	v, err := c.driver.networks.Find(p.Network)
	if err != nil {
		return nil, err
	}
	text, err := virxml.Marshal(portDocument(p, v.Bridge), "")
	if err != nil {
		return nil, virerr.In(virerr.Network, libvirt.ErrInternalError, "port %s: %w", p.UUID, err)
	}
	return &libvirt.NetworkPortGetXMLDescRet{XML: text}, nil
}

// portDocument is a port in libvirt's words (src/conf/virnetworkportdef.c).
func portDocument(p network.Port, bridge string) *lx.NetworkPort {
	doc := &lx.NetworkPort{
		UUID:  p.UUID.String(),
		Owner: &lx.NetworkPortOwner{Name: p.Owner, UUID: p.OwnerUUID},
		MAC:   &lx.NetworkPortMAC{Address: p.MAC},
		Plug:  &lx.NetworkPortPlug{Network: &lx.NetworkPortPlugNetwork{Bridge: bridge}},
	}
	if in, out := bandwidthElement(p.Out), bandwidthElement(p.In); in != nil || out != nil {
		doc.Bandwidth = &lx.NetworkBandwidth{Inbound: in, Outbound: out}
	}
	if p.VLAN != 0 || p.Trunk {
		doc.VLAN = &lx.NetworkPortVLAN{Tags: []lx.NetworkPortVLANTag{{ID: uint(p.VLAN)}}}
		if p.Trunk {
			doc.VLAN.Trunk = "yes"
		}
	}
	if p.Isolated {
		doc.PortOptions = &lx.NetworkPortPortOptions{Isolated: "yes"}
	}
	return doc
}

// bandwidthElement is a shape in KiB, nil when it limits nothing.
func bandwidthElement(s netswitch.Shape) *lx.NetworkBandwidthParams {
	if s.Average == 0 {
		return nil
	}
	value := func(bytes uint64) *uint {
		if bytes == 0 {
			return nil
		}
		kib := uint(bytes / 1024)
		return &kib
	}
	return &lx.NetworkBandwidthParams{Average: value(s.Average), Peak: value(s.Peak), Burst: value(s.Burst)}
}

// NetworkPortGetParameters tells the limits of a port in KiB.
func (c *Conn) NetworkPortGetParameters(ctx context.Context, a *libvirt.NetworkPortGetParametersArgs) (*libvirt.NetworkPortGetParametersRet, error) {
	if err := checkNetworkFlags(a.Flags, 0, "virNetworkPortGetParameters"); err != nil {
		return nil, err
	}
	p, err := c.port(ctx, a.Port.Net, a.Port.UUID)
	if err != nil {
		return nil, err
	}
	var params params
	// Inbound is what the guest is sent.
	params.addShape("inbound", p.Out)
	params.addShape("outbound", p.In)
	return &libvirt.NetworkPortGetParametersRet{Params: params, Nparams: int32(len(params))}, nil
}

func (p *params) addShape(direction string, s netswitch.Shape) {
	if s.Average == 0 {
		return
	}
	p.addUint(direction+".average", uint32(s.Average/1024))
	p.addUint(direction+".peak", uint32(s.Peak/1024))
	p.addUint(direction+".burst", uint32(s.Burst/1024))
	if direction == "inbound" {
		p.addUint(direction+".floor", 0)
	}
}

// NetworkPortCreateXML refuses: a port is its guest's interface.
func (c *Conn) NetworkPortCreateXML(context.Context, *libvirt.NetworkPortCreateXMLArgs) (*libvirt.NetworkPortCreateXMLRet, error) {
	return nil, errOwnPorts()
}

// NetworkPortSetParameters refuses: a port's limits are its interface's.
func (c *Conn) NetworkPortSetParameters(context.Context, *libvirt.NetworkPortSetParametersArgs) error {
	return errOwnPorts()
}

// NetworkPortDelete refuses: a port goes with its guest's interface.
func (c *Conn) NetworkPortDelete(context.Context, *libvirt.NetworkPortDeleteArgs) error {
	return errOwnPorts()
}

func errOwnPorts() error {
	return virerr.In(virerr.Network, libvirt.ErrOperationUnsupported,
		"ports come, change and go with the interfaces of guests: use attach-interface, domiftune and detach-interface")
}
