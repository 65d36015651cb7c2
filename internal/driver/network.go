package driver

import (
	"context"
	"net"

	libvirt "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"

	"virtumld/internal/network"
	"virtumld/internal/virerr"
)

// checkNetworkFlags is checkFlags for a function of the network API.
func checkNetworkFlags[F ~uint32 | ~int32](flags, supported F, function string) error {
	return checkFlagsOf(virerr.Network, flags, supported, function)
}

// networkSpec is the network that a client's object stands for.
func networkSpec(n libvirt.Network) network.Spec {
	return network.Spec{Name: n.Name, UUID: uuid.UUID(n.UUID)}
}

// networkObject is what clients hold of a network.
func networkObject(s network.Spec) libvirt.Network {
	return libvirt.Network{Name: s.Name, UUID: libvirt.UUID(s.UUID)}
}

// NetworkLookupByName finds a network by its name.
func (c *Conn) NetworkLookupByName(_ context.Context, a *libvirt.NetworkLookupByNameArgs) (*libvirt.NetworkLookupByNameRet, error) {
	v, err := c.driver.networks.Find(network.Spec{Name: a.Name})
	if err != nil {
		return nil, err
	}
	return &libvirt.NetworkLookupByNameRet{Net: networkObject(v.Spec)}, nil
}

// NetworkLookupByUUID finds a network by its uuid.
func (c *Conn) NetworkLookupByUUID(_ context.Context, a *libvirt.NetworkLookupByUUIDArgs) (*libvirt.NetworkLookupByUUIDRet, error) {
	if uuid.UUID(a.UUID) == uuid.Nil {
		// Nobody's, and in a Spec it would mean any.
		return nil, virerr.In(virerr.Network, libvirt.ErrNoNetwork, "no network with matching uuid '%s'", uuid.Nil)
	}
	v, err := c.driver.networks.Find(network.Spec{UUID: uuid.UUID(a.UUID)})
	if err != nil {
		return nil, err
	}
	return &libvirt.NetworkLookupByUUIDRet{Net: networkObject(v.Spec)}, nil
}

// NetworkGetXMLDesc returns the document of an active network as it is, or the
// one that the next start takes.
func (c *Conn) NetworkGetXMLDesc(_ context.Context, a *libvirt.NetworkGetXMLDescArgs) (*libvirt.NetworkGetXMLDescRet, error) {
	if err := checkNetworkFlags(a.Flags, uint32(libvirt.NetworkXMLInactive), "virNetworkGetXMLDesc"); err != nil {
		return nil, err
	}
	text, err := c.driver.networks.XML(networkSpec(a.Net), a.Flags != 0)
	if err != nil {
		return nil, err
	}
	return &libvirt.NetworkGetXMLDescRet{XML: text}, nil
}

// NetworkGetBridgeName tells the name of a network's bridge.
func (c *Conn) NetworkGetBridgeName(_ context.Context, a *libvirt.NetworkGetBridgeNameArgs) (*libvirt.NetworkGetBridgeNameRet, error) {
	v, err := c.driver.networks.Find(networkSpec(a.Net))
	if err != nil {
		return nil, err
	}
	if v.Bridge == "" {
		return nil, virerr.In(virerr.Network, libvirt.ErrInternalError, "network '%s' does not have a bridge name.", v.Name)
	}
	return &libvirt.NetworkGetBridgeNameRet{Name: v.Bridge}, nil
}

// NetworkIsActive tells whether a network is started.
func (c *Conn) NetworkIsActive(_ context.Context, a *libvirt.NetworkIsActiveArgs) (*libvirt.NetworkIsActiveRet, error) {
	v, err := c.driver.networks.Find(networkSpec(a.Net))
	if err != nil {
		return nil, err
	}
	return &libvirt.NetworkIsActiveRet{Active: oneIf(v.Active)}, nil
}

// NetworkIsPersistent tells whether a network is defined.
func (c *Conn) NetworkIsPersistent(_ context.Context, a *libvirt.NetworkIsPersistentArgs) (*libvirt.NetworkIsPersistentRet, error) {
	v, err := c.driver.networks.Find(networkSpec(a.Net))
	if err != nil {
		return nil, err
	}
	return &libvirt.NetworkIsPersistentRet{Persistent: oneIf(v.Persistent)}, nil
}

// NetworkGetAutostart tells whether a network starts with the host.
func (c *Conn) NetworkGetAutostart(_ context.Context, a *libvirt.NetworkGetAutostartArgs) (*libvirt.NetworkGetAutostartRet, error) {
	v, err := c.driver.networks.Find(networkSpec(a.Net))
	if err != nil {
		return nil, err
	}
	return &libvirt.NetworkGetAutostartRet{Autostart: oneIf(v.Autostart)}, nil
}

// NetworkSetAutostart sets whether a network starts with the host.
func (c *Conn) NetworkSetAutostart(ctx context.Context, a *libvirt.NetworkSetAutostartArgs) error {
	return c.driver.networks.SetAutostart(ctx, networkSpec(a.Net), a.Autostart != 0)
}

// NetworkGetDhcpLeases lists the leases of a network, or those of one MAC
// address.
func (c *Conn) NetworkGetDhcpLeases(ctx context.Context, a *libvirt.NetworkGetDhcpLeasesArgs) (*libvirt.NetworkGetDhcpLeasesRet, error) {
	if err := checkNetworkFlags(a.Flags, 0, "virNetworkGetDHCPLeases"); err != nil {
		return nil, err
	}
	mac := first(a.Mac)
	if mac != "" {
		parsed, err := net.ParseMAC(mac)
		if err != nil || len(parsed) != 6 {
			return nil, virerr.In(virerr.Network, libvirt.ErrInvalidMac, "%s", mac)
		}
		mac = parsed.String()
	}
	leases, err := c.driver.networks.Leases(ctx, networkSpec(a.Net), mac)
	if err != nil {
		return nil, err
	}
	ret := &libvirt.NetworkGetDhcpLeasesRet{Ret: uint32(len(leases))}
	if a.NeedResults == 0 {
		return ret, nil
	}
	for _, l := range leases {
		ret.Leases = append(ret.Leases, leaseObject(l))
	}
	return ret, nil
}

// leaseObject is what clients get of a lease.
func leaseObject(l network.Lease) libvirt.NetworkDhcpLease {
	family := libvirt.IPAddrTypeIpv4
	if l.Address.Is6() {
		family = libvirt.IPAddrTypeIpv6
	}
	expires := int64(0) // never
	if !l.Expires.IsZero() {
		expires = l.Expires.Unix()
	}
	return libvirt.NetworkDhcpLease{
		Iface: l.Interface, Expirytime: expires, Type: int32(family),
		Mac: orAbsent(l.MAC), Iaid: orAbsent(l.IAID), Ipaddr: l.Address.String(), Prefix: uint32(l.Prefix),
		Hostname: orAbsent(l.Hostname), Clientid: orAbsent(l.ClientID),
	}
}

// orAbsent is s, absent when it is "".
func orAbsent(s string) libvirt.OptString {
	if s == "" {
		return nil
	}
	return libvirt.OptString{s}
}
