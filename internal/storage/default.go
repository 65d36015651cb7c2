package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	libvirt "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"

	"virtumld/internal/storagexml"
	"virtumld/internal/store"
)

const (
	// defaultName is the pool that clients expect to be there.
	defaultName = "default"
	// defaultMarker in ConfigDir says that the instance has had it: what the
	// user has removed stays removed.
	defaultMarker = "default-pool-made"
)

// hadDefault reports whether the marker is there.
func (s *Pools) hadDefault() (bool, error) {
	path := s.config.Join(defaultMarker)
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, systemErr(err, "cannot look for '%s'", path)
	}
	return true, nil
}

// noteDefault leaves the marker when name is that of the default pool.
func (s *Pools) noteDefault(name string) error {
	if name != defaultName {
		return nil
	}
	if made, err := s.hadDefault(); err != nil || made {
		return err
	}
	if err := s.config.Replace(defaultMarker, nil, store.Durable); err != nil {
		return failf(libvirt.ErrSystemError, "%w", err)
	}
	return nil
}

// makeDefault defines, builds, starts and autostarts the pool "default",
// unless the instance has had one.
func (s *Pools) makeDefault() (PoolView, error) {
	s.makingDefault.Lock()
	defer s.makingDefault.Unlock()
	if view, err := s.poolByName(defaultName); err == nil {
		return view, nil
	}
	made, err := s.hadDefault()
	if err != nil {
		return PoolView{}, err
	}
	if made || s.cfg.DefaultTarget == "" {
		return PoolView{}, errNoPoolName(defaultName)
	}
	id, err := uuid.NewRandom()
	if err != nil {
		return PoolView{}, fmt.Errorf("cannot make a uuid: %w", err)
	}
	def := &storagexml.Pool{Name: defaultName, UUID: id, Target: s.cfg.DefaultTarget}
	if err := s.setUpDefault(def); err != nil {
		// Clients take any other code for more than "there is none".
		return PoolView{}, failf(libvirt.ErrNoStoragePool, "no storage pool with matching name 'default', and none can be made: %w", err)
	}
	return s.poolByName(defaultName)
}

// setUpDefault has no caller's context: what it begins is for all.
func (s *Pools) setUpDefault(def *storagexml.Pool) error {
	ctx, spec := context.Background(), PoolSpec{Name: def.Name, UUID: def.UUID}
	if _, err := s.DefinePool(ctx, def); err != nil {
		return err
	}
	if err := s.SetPoolAutostart(ctx, spec, true); err != nil {
		return err
	}
	return s.StartPool(ctx, spec, BuildOptions{Build: true})
}
