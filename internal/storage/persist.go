package storage

import (
	"context"
	"fmt"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/storagexml"
	"virtumld/internal/store"
)

// notice is the comment at the head of each definition, for whoever opens the
// file in an editor.
const notice = "<!--\nWARNING: THIS IS AN AUTO-GENERATED FILE. virtumld writes it anew with every change\n" +
	"of the pool, and what was changed here by hand is lost. To change the pool use\n" +
	"virsh pool-edit or any other client of libvirt.\n-->\n"

// fileOf is the name of the files of the pool called name.
func fileOf(name string) (string, error) {
	file, err := store.FileName(name)
	if err != nil {
		return "", failf(libvirt.ErrInvalidArg, "storage pool '%s': %w", name, err)
	}
	return file, nil
}

// saveConfig makes def durable.
func (s *Pools) saveConfig(def *storagexml.Pool) error {
	return save(s.config, def, store.Durable)
}

// saveState notes that a pool with the definition def is active.
func (s *Pools) saveState(def *storagexml.Pool) error {
	return save(s.state, def, store.Volatile)
}

func save(to *store.Folder, def *storagexml.Pool, d store.Durability) error {
	file, err := fileOf(def.Name)
	if err != nil {
		return err
	}
	text, err := def.XML(storagexml.PoolStats{})
	if err != nil {
		return err
	}
	if err := to.Replace(file, []byte(notice+text), d); err != nil {
		return failf(libvirt.ErrSystemError, "%w", err)
	}
	return nil
}

// removeConfig removes a definition and its autostart link. The link goes
// first: were it left over, a later pool of that name would start unasked.
func (s *Pools) removeConfig(name string) error {
	file, err := fileOf(name)
	if err != nil {
		return err
	}
	if err := s.autostart.Remove(file, store.Durable); err != nil {
		return failf(libvirt.ErrSystemError, "%w", err)
	}
	if err := s.config.Remove(file, store.Durable); err != nil {
		return failf(libvirt.ErrSystemError, "%w", err)
	}
	return nil
}

// removeState forgets that a pool was active. As in libvirt no caller fails by
// it: at worst the pool is active again after the daemon's restart.
func (s *Pools) removeState(name string) {
	file, err := fileOf(name)
	if err == nil {
		err = s.state.Remove(file, store.Volatile)
	}
	if err != nil {
		s.cfg.Log.Warn("storage pool: state file stays", "pool", name, "error", err)
	}
}

// load reads the definitions in a folder.
func (s *Pools) load(ctx context.Context, from *store.Folder) ([]*storagexml.Pool, error) {
	defs, problems, err := store.Load(ctx, from, func(name string, data []byte) (*storagexml.Pool, error) {
		def, err := storagexml.ParsePool(string(data))
		if err != nil {
			return nil, err
		}
		if def.Name != name {
			return nil, fmt.Errorf("the pool in it is called %q, so it should be in %q", def.Name, def.Name+".xml")
		}
		return def, nil
	})
	for _, problem := range problems {
		s.cfg.Log.Warn("storage pool: file left alone", "error", problem)
	}
	return defs, err
}

// Load reads the pools of the instance, and the folders of those that were
// active when the daemon ended. A pool whose folder is gone is inactive, and
// no more when it was transient.
func (s *Pools) Load(ctx context.Context) error {
	live, err := s.load(ctx, s.state)
	if err != nil {
		return err
	}
	for _, def := range live {
		s.adopt(def, true)
	}
	defs, err := s.load(ctx, s.config)
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
		s.cfg.Log.Warn("storage pool: autostart link left alone", "error", problem)
	}
	s.mu.Lock()
	for _, name := range linked {
		if p := s.byName[name]; p != nil && p.persistent {
			p.autostart = true
		}
	}
	s.mu.Unlock()
	return s.readopt(ctx)
}

// adopt takes in a definition from disk; one that clashes with an earlier one
// is left out.
func (s *Pools) adopt(def *storagexml.Pool, live bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.place(def)
	if err != nil {
		s.cfg.Log.Warn("storage pool: definition left out", "pool", def.Name, "error", err)
		return
	}
	p.hidden = false
	switch {
	case live:
		p.active = true
	case p.active:
		p.persistent, p.next = true, def
		if samePool(def, p.def) {
			p.next = nil
		}
	default:
		p.persistent = true
	}
}

// readopt reads the folders of the active pools.
func (s *Pools) readopt(ctx context.Context) error {
	for _, view := range s.Pools() {
		if !view.Active {
			continue
		}
		if err := s.rescan(ctx, PoolSpec{Name: view.Name, UUID: view.UUID}); err != nil {
			if ctx.Err() != nil {
				return fmt.Errorf("storage pools: %w", err)
			}
			s.cfg.Log.Warn("storage pool is no longer active", "pool", view.Name, "error", err)
		}
	}
	return nil
}

// Autostart starts the pools that are to start with the host. What fails is
// logged: the other pools start all the same.
func (s *Pools) Autostart(ctx context.Context) error {
	for _, view := range s.Pools() {
		if !view.Autostart || view.Active {
			continue
		}
		if err := s.StartPool(ctx, PoolSpec{Name: view.Name, UUID: view.UUID}, BuildOptions{}); err != nil {
			if ctx.Err() != nil {
				return fmt.Errorf("storage pools: %w", err)
			}
			s.cfg.Log.Warn("cannot autostart storage pool", "pool", view.Name, "error", err)
		}
	}
	return nil
}
