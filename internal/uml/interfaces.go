package uml

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"
	"golang.org/x/sys/unix"

	"virtumld/internal/domain"
	"virtumld/internal/domxml"
	"virtumld/internal/netd"
	"virtumld/internal/netswitch"
	"virtumld/internal/supervisor"
	"virtumld/internal/uml/cmdline"
	"virtumld/internal/usernet"
	"virtumld/internal/virerr"
)

const (
	// networkLimit bounds a question to a network's process.
	networkLimit = 5 * time.Second
	// undoLimit bounds the way back from a failed attach.
	undoLimit = 15 * time.Second
)

// AttachInterface gives the running guest another interface: first what its
// kernel will connect to, then the device.
func (g *guest) AttachInterface(ctx context.Context, _ *domxml.Definition, n domxml.Interface) error {
	if err := refuseVHostUser(n, "attached"); err != nil {
		return err
	}
	if err := g.awaitBoot(ctx); err != nil {
		return err
	}
	i, err := g.makeInterface(ctx, n)
	if err != nil {
		return err
	}
	if err := g.handle.OpenInterface(ctx, i); err != nil {
		return err
	}
	facts := g.handle.Facts()
	device := strings.ReplaceAll(i.Device, supervisor.Root, facts.Root())
	if err := g.console.SetConfig(ctx, i.String()+":"+device); err != nil {
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoLimit)
		defer cancel()
		return errors.Join(asVirerr(err), g.handle.CloseInterface(undo, n.Unit))
	}
	return nil
}

// DetachInterface takes an interface away that is down in the guest.
func (g *guest) DetachInterface(ctx context.Context, n domxml.Interface) error {
	if err := refuseVHostUser(n, "detached"); err != nil {
		return err
	}
	if err := g.awaitBoot(ctx); err != nil {
		return err
	}
	device := supervisor.Interface{Unit: n.Unit}
	err := g.console.Remove(ctx, device.String())
	switch {
	case errors.Is(err, unix.EBUSY):
		return virerr.New(libvirt.ErrOperationFailed,
			"interface %s (%s) is up in the guest; take it down there first ('ip link set %s down'): %w", n.MAC, &device, &device, err)
	case err != nil && !errors.Is(err, unix.ENODEV):
		return asVirerr(err)
	}
	return g.handle.CloseInterface(ctx, n.Unit)
}

// UpdateInterface changes an interface's settings or its network, of which the
// guest notices nothing.
func (g *guest) UpdateInterface(ctx context.Context, _, next domxml.Interface) error {
	if err := refuseVHostUser(next, "changed"); err != nil {
		return err
	}
	i, err := g.makeInterface(ctx, next)
	if err != nil {
		return err
	}
	return g.handle.UpdateInterface(ctx, i)
}

// makeInterface says what an interface of a running guest is to be.
func (g *guest) makeInterface(ctx context.Context, n domxml.Interface) (supervisor.Interface, error) {
	caps, err := g.machine.Kernels.Probe(ctx, g.kernel)
	if err != nil {
		return supervisor.Interface{}, err
	}
	joint, err := g.machine.join(ctx, &n)
	if err != nil {
		return supervisor.Interface{}, err
	}
	device, err := cmdline.Device(n, caps)
	if err != nil {
		return supervisor.Interface{}, err
	}
	return g.machine.plugging(ctx, g.owner, n, joint, device)
}

// InterfaceStats are the counters of the interfaces of def's running guest, by
// alias. Those whose network does not answer are left out.
func (m *Machine) InterfaceStats(ctx context.Context, def *domxml.Definition) (map[string]netswitch.Counters, error) {
	stats := make(map[string]netswitch.Counters)
	err := m.eachNetwork(ctx, def, func(n domxml.Interface, portID string, state netd.State) {
		stats[n.Alias] = netswitch.Counters{} // it may never have been up
		for _, port := range state.Ports {
			if port.ID == portID {
				stats[n.Alias] = port.Counters
			}
		}
	})
	return stats, err
}

// InterfaceAddresses are the addresses of the interfaces of def's running
// guest, by alias, as source knows them.
func (m *Machine) InterfaceAddresses(ctx context.Context, def *domxml.Definition, source domain.AddressSource) (map[string][]domain.Address, error) {
	addresses := make(map[string][]domain.Address)
	err := m.eachNetwork(ctx, def, func(n domxml.Interface, _ string, state netd.State) {
		known := state.Leases
		if source == domain.AddressARP {
			known = state.ARP
		}
		for _, lease := range known {
			if strings.EqualFold(lease.MAC, n.MAC) {
				addresses[n.Alias] = append(addresses[n.Alias], address(lease, source))
			}
		}
	})
	return addresses, err
}

// address is one that a guest has. Nothing says how long the prefix is of one
// that was only seen.
func address(lease usernet.Lease, source domain.AddressSource) domain.Address {
	a := domain.Address{Addr: lease.Address}
	if source != domain.AddressARP {
		a.Prefix = lease.Prefix
	}
	return a
}

// eachNetwork asks the networks' processes of all interfaces of def's guest
// and calls use for those that answer.
func (m *Machine) eachNetwork(ctx context.Context, def *domxml.Definition, use func(n domxml.Interface, portID string, state netd.State)) error {
	found, ok := m.guests.Load(def.UUID.String())
	if !ok {
		return nil // started by hand, or just ended
	}
	ctx, cancel := context.WithTimeout(ctx, networkLimit)
	defer cancel()
	states := make(map[string]netd.State)
	for _, facts := range found.(*guest).handle.Facts().Interfaces {
		at := slices.IndexFunc(def.Interfaces, func(n domxml.Interface) bool { return n.Unit == facts.Unit })
		if at < 0 {
			continue
		}
		state, asked := states[facts.Dir]
		if !asked {
			var err error
			if state, err = networkState(ctx, facts.Dir); err != nil {
				m.Log.Debug("a network does not answer", "domain", def.Name, "interface", facts.Name, "err", err)
				continue
			}
			states[facts.Dir] = state
		}
		use(def.Interfaces[at], facts.PortID, state)
	}
	return ctx.Err()
}

func networkState(ctx context.Context, dir string) (netd.State, error) {
	client, err := netd.Dial(ctx, dir)
	if err != nil {
		return netd.State{}, err
	}
	state, err := client.State(ctx)
	return state, errors.Join(err, client.Close())
}
