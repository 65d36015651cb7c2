package storage

import (
	"context"
	"fmt"

	libvirt "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"

	"virtumld/internal/storagexml"
)

const (
	// defaultName is the pool that clients expect to be there.
	defaultName = "default"
	// defaultMarker in ConfigDir says that the instance has had it: what the
	// user has removed stays removed.
	defaultMarker = "default-pool-made"
)

// noteDefault leaves the marker when name is that of the default pool.
func (s *Pools) noteDefault(name string) error {
	if name != defaultName {
		return nil
	}
	if made, err := s.files.Marked(defaultMarker); err != nil || made {
		return err
	}
	return s.files.Mark(defaultMarker)
}

// makeDefault defines, builds, starts and autostarts the pool "default",
// unless the instance has had one.
func (s *Pools) makeDefault() (PoolView, error) {
	s.makingDefault.Lock()
	defer s.makingDefault.Unlock()
	if view, err := s.poolByName(defaultName); err == nil {
		return view, nil
	}
	made, err := s.files.Marked(defaultMarker)
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
