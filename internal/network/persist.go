package network

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/networkxml"
	"virtumld/internal/store"
)

// notice is the comment at the head of each definition, for whoever opens the
// file in an editor.
const notice = "<!--\nWARNING: THIS IS AN AUTO-GENERATED FILE. virtumld writes it anew with every change\n" +
	"of the network, and what was changed here by hand is lost. To change the network use\n" +
	"virsh net-edit or any other client of libvirt.\n-->\n"

// fileOf is the name of the files of the network called name.
func fileOf(name string) (string, error) {
	file, err := store.FileName(name)
	if err != nil {
		return "", failf(libvirt.ErrInvalidArg, "network '%s': %w", name, err)
	}
	return file, nil
}

// saveConfig makes def durable.
func (s *Networks) saveConfig(def *networkxml.Network) error {
	return save(s.config, def, store.Durable)
}

// saveState notes that a network with the definition def is active.
func (s *Networks) saveState(def *networkxml.Network) error {
	return save(s.state, def, store.Volatile)
}

func save(to *store.Folder, def *networkxml.Network, d store.Durability) error {
	file, err := fileOf(def.Name)
	if err != nil {
		return err
	}
	return system(to.Replace(file, []byte(notice+def.XML()), d))
}

// removeConfig removes a definition and its autostart link. The link goes
// first: were it left over, a later network of that name would start unasked.
func (s *Networks) removeConfig(name string) error {
	file, err := fileOf(name)
	if err != nil {
		return err
	}
	if err := s.autostart.Remove(file, store.Durable); err != nil {
		return system(err)
	}
	return system(s.config.Remove(file, store.Durable))
}

// removeState forgets that a network was active. As in libvirt no caller fails
// by it: at worst the network is active again after the daemon's restart.
func (s *Networks) removeState(name string) {
	file, err := fileOf(name)
	if err == nil {
		err = s.state.Remove(file, store.Volatile)
	}
	if err != nil {
		s.cfg.Log.Warn("network: state file stays", "network", name, "error", err)
	}
}

// removeLeases removes the leases of a network that is no more.
func (s *Networks) removeLeases(spec Spec) {
	if err := os.RemoveAll(filepath.Dir(s.leaseFile(spec))); err != nil {
		s.cfg.Log.Warn("network: leases stay", "network", spec.Name, "error", err)
	}
}

// read reads the definitions in a folder.
func (s *Networks) read(ctx context.Context, from *store.Folder) ([]*networkxml.Network, error) {
	defs, problems, err := store.Load(ctx, from, func(name string, data []byte) (*networkxml.Network, error) {
		def, err := networkxml.Parse(string(data))
		if err != nil {
			return nil, err
		}
		if def.Name != name {
			return nil, fmt.Errorf("the network in it is called %q, so it should be in %q", def.Name, def.Name+".xml")
		}
		return def, nil
	})
	for _, problem := range problems {
		s.cfg.Log.Warn("network: file left alone", "error", problem)
	}
	return defs, err
}

// Load reads the networks of the instance, finds the processes of those that
// are active and starts those anew that have died. At the instance's very first
// start it defines the network "default".
func (s *Networks) Load(ctx context.Context) error {
	live, err := s.read(ctx, s.state)
	if err != nil {
		return err
	}
	for _, def := range live {
		s.adopt(def, true)
	}
	defs, err := s.read(ctx, s.config)
	if err != nil {
		return err
	}
	for _, def := range defs {
		s.adopt(def, false)
	}
	linked, problems, err := s.autostart.Links(s.config)
	if err != nil {
		return err
	}
	for _, problem := range problems {
		s.cfg.Log.Warn("network: autostart link left alone", "error", problem)
	}
	s.mu.Lock()
	for _, name := range linked {
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
