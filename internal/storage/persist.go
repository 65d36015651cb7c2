package storage

import (
	"context"
	"fmt"

	"virtumld/internal/storagexml"
	"virtumld/internal/store"
	"virtumld/internal/virerr"
)

// kind is what the files of pools are called.
var kind = store.Kind{Title: "storage pool", Noun: "pool", Edit: "pool-edit", Domain: virerr.Storage}

// saveConfig makes def durable.
func (s *Pools) saveConfig(def *storagexml.Pool) error {
	text, err := def.XML(storagexml.PoolStats{})
	if err != nil {
		return err
	}
	return s.files.SaveConfig(def.Name, text)
}

// saveState notes that a pool with the definition def is active.
func (s *Pools) saveState(def *storagexml.Pool) error {
	text, err := def.XML(storagexml.PoolStats{})
	if err != nil {
		return err
	}
	return s.files.SaveState(def.Name, text)
}

// removeState forgets that a pool was active. As in libvirt no caller fails by
// it: at worst the pool is active again after the daemon's restart.
func (s *Pools) removeState(name string) {
	if err := s.files.RemoveState(name); err != nil {
		s.cfg.Log.Warn("storage pool: state file stays", "pool", name, "error", err)
	}
}

// Load reads the pools of the instance, and the folders of those that were
// active when the daemon ended. A pool whose folder is gone is inactive, and
// no more when it was transient.
func (s *Pools) Load(ctx context.Context) error {
	loaded, err := store.LoadDefinitions(ctx, s.files, storagexml.ParsePool, func(p *storagexml.Pool) string { return p.Name })
	if err != nil {
		return err
	}
	for _, problem := range loaded.Problems {
		s.cfg.Log.Warn("storage pool: file left alone", "error", problem)
	}
	for _, def := range loaded.Active {
		s.adopt(def, true)
	}
	for _, def := range loaded.Defined {
		s.adopt(def, false)
	}
	s.mu.Lock()
	for _, name := range loaded.Autostart {
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
