package network

import (
	"context"
	"errors"
	"io/fs"
	"reflect"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/networkxml"
)

// The texts for a change of the config of a network that has none.
const (
	errTransientUpdate = "cannot change persistent config of a transient network"
	errTransient       = "transient networks do not have any persistent config"
)

// resolve says which sides a change is for, and refuses what n has not;
// Networks.mu is held.
func (n *network) resolve(t Target, transient string) (Target, error) {
	if !t.Live && !t.Config {
		t.Live, t.Config = n.active(), !n.active()
	}
	if t.Live && !n.active() {
		return t, failf(libvirt.ErrOperationInvalid, "network is not running")
	}
	if t.Config && !n.persistent() {
		return t, failf(libvirt.ErrOperationInvalid, "%s", transient)
	}
	return t, nil
}

// Update changes one section of the network that runs, of its config or of
// both (virNetworkUpdate).
func (s *Networks) Update(ctx context.Context, spec Spec, c Command, section Section, index int, document string, t Target) error {
	n, done, err := s.take(ctx, spec)
	if err != nil {
		return err
	}
	defer done()
	return s.change(ctx, n, t, errTransientUpdate, func(def *networkxml.Network) (*networkxml.Network, error) {
		changed, err := def.Update(c, section, index, document)
		if err != nil {
			return nil, err
		}
		return changed, check(changed)
	})
}

// SetMetadata changes the title, the description or an element of <metadata>.
func (s *Networks) SetMetadata(ctx context.Context, spec Spec, kind int32, value *string, key, uri string, t Target) error {
	n, done, err := s.take(ctx, spec)
	if err != nil {
		return err
	}
	defer done()
	err = s.change(ctx, n, t, errTransient, func(def *networkxml.Network) (*networkxml.Network, error) {
		return def.WithMetadata(kind, value, key, uri)
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tell(Event{Network: n.spec, Metadata: true, Kind: kind, URI: uri})
	return nil
}

// change changes the definitions of n that t names; both or none. The caller
// has n's turn.
func (s *Networks) change(ctx context.Context, n *network, t Target, transient string, edit func(*networkxml.Network) (*networkxml.Network, error)) error {
	s.mu.Lock()
	live, config := n.live, n.config
	t, err := n.resolve(t, transient)
	s.mu.Unlock()
	if err != nil {
		return err
	}
	newLive, newConfig := live, config
	if t.Live {
		if newLive, err = edit(live); err != nil {
			return err
		}
	}
	if t.Config {
		if newConfig, err = edit(config); err != nil {
			return err
		}
	}
	if t.Live {
		if err := s.changeLive(ctx, live, newLive); err != nil {
			return err
		}
	}
	if t.Config {
		if err := s.saveConfig(newConfig); err != nil {
			return errors.Join(err, s.changeBack(ctx, t, live, newLive))
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n.live, n.config = newLive, newConfig
	return nil
}

// changeLive gives the network's process new settings.
func (s *Networks) changeLive(ctx context.Context, from, to *networkxml.Network) error {
	if err := s.saveState(to); err != nil {
		return err
	}
	spec := s.process(to)
	if !to.Forward.Mode.Virtual() || reflect.DeepEqual(spec, s.process(from)) {
		return nil
	}
	err := s.cfg.Processes.Configure(ctx, spec)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil // a process that has died is started again with them
	}
	return errors.Join(err, s.saveState(from))
}

// changeBack undoes changeLive.
func (s *Networks) changeBack(ctx context.Context, t Target, live, changed *networkxml.Network) error {
	if !t.Live {
		return nil
	}
	return s.changeLive(context.WithoutCancel(ctx), changed, live)
}
