package network

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"virtumld/internal/networkxml"
	"virtumld/internal/store"
	"virtumld/internal/virerr"
)

// kind is what the files of networks are called.
var kind = store.Kind{Title: "network", Noun: "network", Edit: "net-edit", Domain: virerr.Network}

// saveConfig makes def durable.
func (s *Networks) saveConfig(def *networkxml.Network) error {
	return s.files.SaveConfig(def.Name, def.XML())
}

// saveState notes that a network with the definition def is active.
func (s *Networks) saveState(def *networkxml.Network) error {
	return s.files.SaveState(def.Name, def.XML())
}

// removeState forgets that a network was active. As in libvirt no caller fails
// by it: at worst the network is active again after the daemon's restart.
func (s *Networks) removeState(name string) {
	if err := s.files.RemoveState(name); err != nil {
		s.cfg.Log.Warn("network: state file stays", "network", name, "error", err)
	}
}

// removeLeases removes the leases of a network that is no more.
func (s *Networks) removeLeases(spec Spec) {
	if err := os.RemoveAll(filepath.Dir(s.leaseFile(spec))); err != nil {
		s.cfg.Log.Warn("network: leases stay", "network", spec.Name, "error", err)
	}
}

// Load reads the networks of the instance, finds the processes of those that
// are active and starts those anew that have died. At the instance's very first
// start it defines the network "default".
func (s *Networks) Load(ctx context.Context) error {
	loaded, err := store.LoadDefinitions(ctx, s.files, networkxml.Parse, func(n *networkxml.Network) string { return n.Name })
	if err != nil {
		return err
	}
	for _, problem := range loaded.Problems {
		s.cfg.Log.Warn("network: file left alone", "error", problem)
	}
	for _, def := range loaded.Active {
		s.adopt(def, true)
	}
	for _, def := range loaded.Defined {
		s.adopt(def, false)
	}
	s.mu.Lock()
	for _, name := range loaded.Autostart {
		if n := s.byName[name]; n != nil && n.persistent() {
			n.autostart = true
		}
	}
	s.mu.Unlock()
	if err := s.readopt(ctx); err != nil {
		return err
	}
	if err := s.makeDefault(ctx); err != nil {
		s.cfg.Log.Error("cannot make the network 'default'", "error", err)
	}
	return nil
}

// adopt takes in a definition from disk; one that clashes with an earlier one
// is left out.
func (s *Networks) adopt(def *networkxml.Network, live bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.place(def)
	if err != nil {
		s.cfg.Log.Warn("network: definition left out", "network", def.Name, "error", err)
		return
	}
	n.hidden = false
	def.SetMAC() // of a file without one
	if live {
		n.live = def
	} else {
		n.config = def
	}
}

// readopt finds the processes of the active networks again.
func (s *Networks) readopt(ctx context.Context) error {
	for _, view := range s.List() {
		if !view.Active {
			continue
		}
		if err := s.readoptOne(ctx, view.Spec); err != nil {
			return fmt.Errorf("networks: %w", err)
		}
	}
	return nil
}

func (s *Networks) readoptOne(ctx context.Context, spec Spec) error {
	n, done, err := s.take(ctx, spec)
	if err != nil {
		return err
	}
	defer done()
	s.mu.Lock()
	def := n.live
	s.mu.Unlock()
	if !def.Forward.Mode.Virtual() {
		return nil
	}
	process, err := s.cfg.Processes.Find(ctx, s.dir(spec))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		// The watch starts it anew.
		s.cfg.Log.Warn("network has lost its process while no daemon ran", "network", spec.Name, "error", err)
		process = nil
	}
	s.startWatch(n, process)
	return nil
}

// Autostart starts the networks that are to start with the host. What fails is
// logged: the other networks start all the same.
func (s *Networks) Autostart(ctx context.Context) error {
	for _, view := range s.List() {
		if !view.Autostart || view.Active {
			continue
		}
		if err := s.Start(ctx, view.Spec); err != nil {
			if ctx.Err() != nil {
				return fmt.Errorf("networks: %w", err)
			}
			s.cfg.Log.Warn("cannot autostart network", "network", view.Name, "error", err)
		}
	}
	return nil
}
