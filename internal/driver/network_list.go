package driver

import (
	"context"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/network"
)

// Filters of a list of networks (virConnectListAllNetworksFlags), combined as
// those of a list of domains.
const (
	networksActive, networksInactive       = libvirt.ConnectListNetworksActive, libvirt.ConnectListNetworksInactive
	networksPersistent, networksTransient  = libvirt.ConnectListNetworksPersistent, libvirt.ConnectListNetworksTransient
	networksAutostart, networksNoAutostart = libvirt.ConnectListNetworksAutostart, libvirt.ConnectListNetworksNoAutostart

	networkFilters = networksActive | networksInactive | networksPersistent | networksTransient |
		networksAutostart | networksNoAutostart
)

// matchesNetwork reports whether v passes the filters.
func matchesNetwork(v network.View, filters libvirt.ConnectListAllNetworksFlags) bool {
	either := func(is bool, yes, no libvirt.ConnectListAllNetworksFlags) bool {
		asked := filters & (yes | no)
		return asked == 0 || is && asked&yes != 0 || !is && asked&no != 0
	}
	return either(v.Active, networksActive, networksInactive) &&
		either(v.Persistent, networksPersistent, networksTransient) &&
		either(v.Autostart, networksAutostart, networksNoAutostart)
}

// networksThat returns the networks that pass the filters.
func (c *Conn) networksThat(filters libvirt.ConnectListAllNetworksFlags) []libvirt.Network {
	views := c.driver.networks.List()
	networks := make([]libvirt.Network, 0, len(views))
	for _, v := range views {
		if matchesNetwork(v, filters) {
			networks = append(networks, networkObject(v.Spec))
		}
	}
	return networks
}

func (c *Conn) networkNames(filters libvirt.ConnectListAllNetworksFlags, most int32) []string {
	networks := c.networksThat(filters)
	names := make([]string, 0, len(networks))
	for _, n := range networks {
		names = append(names, n.Name)
	}
	return atMost(names, most)
}

// ConnectListAllNetworks lists the networks that pass the filters.
func (c *Conn) ConnectListAllNetworks(_ context.Context, a *libvirt.ConnectListAllNetworksArgs) (*libvirt.ConnectListAllNetworksRet, error) {
	if err := checkNetworkFlags(a.Flags, networkFilters, "virConnectListAllNetworks"); err != nil {
		return nil, err
	}
	networks := c.networksThat(a.Flags)
	ret := &libvirt.ConnectListAllNetworksRet{Ret: uint32(len(networks))}
	if a.NeedResults != 0 {
		ret.Nets = networks
	}
	return ret, nil
}

// ConnectListNetworks lists the names of the active networks, at most
// Maxnames.
func (c *Conn) ConnectListNetworks(_ context.Context, a *libvirt.ConnectListNetworksArgs) (*libvirt.ConnectListNetworksRet, error) {
	return &libvirt.ConnectListNetworksRet{Names: c.networkNames(networksActive, a.Maxnames)}, nil
}

// ConnectNumOfNetworks counts the active networks.
func (c *Conn) ConnectNumOfNetworks(context.Context) (*libvirt.ConnectNumOfNetworksRet, error) {
	return &libvirt.ConnectNumOfNetworksRet{Num: int32(len(c.networksThat(networksActive)))}, nil
}

// ConnectListDefinedNetworks lists the names of the inactive networks, at most
// Maxnames.
func (c *Conn) ConnectListDefinedNetworks(_ context.Context, a *libvirt.ConnectListDefinedNetworksArgs) (*libvirt.ConnectListDefinedNetworksRet, error) {
	return &libvirt.ConnectListDefinedNetworksRet{Names: c.networkNames(networksInactive, a.Maxnames)}, nil
}

// ConnectNumOfDefinedNetworks counts the inactive networks.
func (c *Conn) ConnectNumOfDefinedNetworks(context.Context) (*libvirt.ConnectNumOfDefinedNetworksRet, error) {
	return &libvirt.ConnectNumOfDefinedNetworksRet{Num: int32(len(c.networksThat(networksInactive)))}, nil
}
