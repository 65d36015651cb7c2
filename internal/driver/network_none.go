package driver

import (
	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/network"
	"virtumld/internal/virerr"
)

// noNetworks is a manager without networks, for a daemon that has none.
type noNetworks struct{ network.Manager }

func (noNetworks) List() []network.View { return nil }

func (noNetworks) Find(s network.Spec) (network.View, error) {
	if s.Name != "" {
		return network.View{}, virerr.In(virerr.Network, libvirt.ErrNoNetwork, "no network with matching name '%s'", s.Name)
	}
	return network.View{}, virerr.In(virerr.Network, libvirt.ErrNoNetwork, "no network with matching uuid '%s'", s.UUID)
}

func (noNetworks) Subscribe(func(network.Event)) func() { return func() {} }
