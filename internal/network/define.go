package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/networkxml"
)

// place finds the network that def belongs to, or makes a hidden one; mu is
// held. It refuses what clashes with another network (src/conf/virnetworkobj.c,
// virNetworkObjAssignDefLocked).
func (s *Networks) place(def *networkxml.Network) (*network, error) {
	if n := s.byUUID[def.UUID]; n != nil {
		if n.spec.Name != def.Name {
			return nil, failf(libvirt.ErrOperationFailed, "network '%s' is already defined with uuid %s", n.spec.Name, def.UUID)
		}
		return n, nil
	}
	if n := s.byName[def.Name]; n != nil {
		return nil, failf(libvirt.ErrOperationFailed, "network '%s' already exists with uuid %s", def.Name, n.spec.UUID)
	}
	n := &network{spec: Spec{Name: def.Name, UUID: def.UUID}, turn: make(chan struct{}, 1), hidden: true}
	s.byUUID[def.UUID], s.byName[def.Name] = n, n
	return n, nil
}

// admit is place, takes the network's turn and completes def. The caller calls
// done, which removes the network again when it is still hidden.
func (s *Networks) admit(ctx context.Context, def *networkxml.Network) (n *network, done func(), err error) {
	if err := s.files.CheckName(def.Name); err != nil {
		return nil, nil, err
	}
	devices, err := hostDevices()
	if err != nil {
		return nil, nil, err
	}
	for {
		s.mu.Lock()
		n, err = s.place(def)
		s.mu.Unlock()
		if err != nil {
			return nil, nil, err
		}
		if err := s.wait(ctx, n); err == nil {
			break
		} else if !errors.Is(err, errGone) {
			s.abandon(n)
			return nil, nil, err
		}
	}
	done = func() { s.settle(n) }
	if err := s.complete(n, def, devices); err != nil {
		done()
		return nil, nil, err
	}
	return n, done, nil
}

// abandon forgets a network that was placed and never got its turn, unless
// another call has it now.
func (s *Networks) abandon(n *network) {
	select {
	case n.turn <- struct{}{}:
		s.settle(n)
	default: // whoever has the turn settles it
	}
}

// hostDevices are the names of the host's network devices.
func hostDevices() (map[string]bool, error) {
	devices, err := net.Interfaces()
	if err != nil {
		return nil, failf(libvirt.ErrSystemError, "cannot list the host's network devices: %w", err)
	}
	names := map[string]bool{}
	for _, d := range devices {
		names[d.Name] = true
	}
	return names, nil
}

// complete makes up def's bridge name and address, and takes the name
// (src/network/bridge_driver.c, networkBridgeNameValidate).
func (s *Networks) complete(n *network, def *networkxml.Network, devices map[string]bool) error {
	def.SetMAC()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !def.Forward.Mode.Virtual() {
		n.pending = def
		return nil
	}
	if def.Bridge.Name == "" || strings.Contains(def.Bridge.Name, "%d") {
		name, err := s.freeBridge(n, def.Bridge.Name, devices)
		if err != nil {
			return err
		}
		def.Bridge.Name = name
	} else if s.bridgeInUse(n, def.Bridge.Name) {
		return failf(libvirt.ErrInternalError, "bridge name '%s' already in use.", def.Bridge.Name)
	}
	n.pending = def
	return nil
}

// maxBridge is the highest number of a bridge (MAX_BRIDGE_ID).
const maxBridge = 256

// freeBridge makes up a name of a bridge; mu is held.
func (s *Networks) freeBridge(n *network, template string, devices map[string]bool) (string, error) {
	if template == "" || strings.Count(template, "%") != 1 {
		template = "virbr%d"
	}
	for id := range maxBridge + 1 {
		name := strings.Replace(template, "%d", fmt.Sprint(id), 1)
		if !devices[name] && !s.bridgeInUse(n, name) {
			return name, nil
		}
	}
	return "", failf(libvirt.ErrInternalError, "Bridge generation exceeded max id %d", maxBridge)
}

// bridgeInUse reports whether another network than n has that bridge; mu is
// held.
func (s *Networks) bridgeInUse(n *network, name string) bool {
	for _, other := range s.byUUID {
		for _, def := range []*networkxml.Network{other.config, other.live, other.pending} {
			if other != n && def != nil && def.Bridge.Name == name {
				return true
			}
		}
	}
	return false
}

// parse reads a client's document and checks it.
func parse(document string, validate bool) (*networkxml.Network, error) {
	if validate {
		if err := networkxml.Validate(document); err != nil {
			return nil, err
		}
	}
	def, err := networkxml.Parse(document)
	if err != nil {
		return nil, err
	}
	return def, check(def)
}

// check refuses a definition that cannot be had.
func check(def *networkxml.Network) error {
	if err := def.Check(); err != nil {
		return err
	}
	return def.CheckSupport()
}

// Define keeps a network. An active one takes the definition at its next start.
func (s *Networks) Define(ctx context.Context, document string, validate bool) (View, error) {
	def, err := parse(document, validate)
	if err != nil {
		return View{}, err
	}
	return s.define(ctx, def)
}

func (s *Networks) define(ctx context.Context, def *networkxml.Network) (View, error) {
	n, done, err := s.admit(ctx, def)
	if err != nil {
		return View{}, err
	}
	defer done()
	if err := s.saveConfig(def); err != nil {
		return View{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n.config, n.hidden = def, false
	s.emit(n, libvirt.NetworkEventDefined)
	return n.view(), nil
}

// Undefine forgets a persistent network; an active one becomes transient.
func (s *Networks) Undefine(ctx context.Context, spec Spec) error {
	n, done, err := s.take(ctx, spec)
	if err != nil {
		return err
	}
	defer done()
	s.mu.Lock()
	persistent, active := n.persistent(), n.active()
	s.mu.Unlock()
	if !persistent {
		return failf(libvirt.ErrOperationInvalid, "can't undefine transient network")
	}
	if err := s.files.RemoveConfig(n.spec.Name); err != nil {
		return err
	}
	if !active {
		s.removeLeases(n.spec)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n.config, n.autostart = nil, false
	s.emit(n, libvirt.NetworkEventUndefined)
	if !active {
		s.forget(n)
	}
	return nil
}

// SetAutostart makes a persistent network start with the host, or no longer.
func (s *Networks) SetAutostart(ctx context.Context, spec Spec, on bool) error {
	n, done, err := s.take(ctx, spec)
	if err != nil {
		return err
	}
	defer done()
	s.mu.Lock()
	persistent := n.persistent()
	s.mu.Unlock()
	if !persistent {
		return failf(libvirt.ErrOperationInvalid, "cannot set autostart for transient network")
	}
	if err := s.files.SetAutostart(n.spec.Name, on); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n.autostart = on
	return nil
}
