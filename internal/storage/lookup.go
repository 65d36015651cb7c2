package storage

import (
	"cmp"
	"maps"
	"path/filepath"
	"slices"

	libvirt "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"
)

// find returns the pool with spec's uuid; mu is held.
func (s *Pools) find(spec PoolSpec) (*pool, error) {
	if p := s.byUUID[spec.UUID]; p != nil && !p.hidden {
		return p, nil
	}
	return nil, errNoPool(spec)
}

func errNoPool(spec PoolSpec) error {
	if spec.Name == "" {
		return failf(libvirt.ErrNoStoragePool, "no storage pool with matching uuid '%s'", spec.UUID)
	}
	return failf(libvirt.ErrNoStoragePool, "no storage pool with matching uuid '%s' (%s)", spec.UUID, spec.Name)
}

// view is p as clients see it; mu is held.
func (p *pool) view() PoolView {
	v := PoolView{
		Pool:       p.def,
		Inactive:   p.def,
		Active:     p.active,
		Persistent: p.persistent,
		Autostart:  p.autostart,
		Building:   p.building,
	}
	if p.next != nil {
		v.Inactive = p.next
	}
	if p.active {
		live := *p.def
		live.Perms = p.found
		v.Pool, v.Stats, v.Volumes = &live, p.stats, len(p.volumes)
	}
	return v
}

// Pools returns all pools, by name.
func (s *Pools) Pools() []PoolView {
	s.mu.Lock()
	defer s.mu.Unlock()
	views := make([]PoolView, 0, len(s.byName))
	for _, p := range s.byName {
		if !p.hidden {
			views = append(views, p.view())
		}
	}
	slices.SortFunc(views, func(a, b PoolView) int { return cmp.Compare(a.Name, b.Name) })
	return views
}

// Pool returns the pool with spec's uuid.
func (s *Pools) Pool(spec PoolSpec) (PoolView, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.find(spec)
	if err != nil {
		return PoolView{}, err
	}
	return p.view(), nil
}

// PoolByUUID returns the pool with the uuid id.
func (s *Pools) PoolByUUID(id uuid.UUID) (PoolView, error) { return s.Pool(PoolSpec{UUID: id}) }

// PoolByName returns the pool called name. The first question for "default"
// makes that pool.
func (s *Pools) PoolByName(name string) (PoolView, error) {
	view, err := s.poolByName(name)
	if err != nil && name == defaultName {
		return s.makeDefault()
	}
	return view, err
}

func (s *Pools) poolByName(name string) (PoolView, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.byName[name]; p != nil && !p.hidden {
		return p.view(), nil
	}
	return PoolView{}, errNoPoolName(name)
}

// PoolByTarget returns the active pool whose folder is path.
func (s *Pools) PoolByTarget(path string) (PoolView, error) {
	clean := filepath.Clean(path)
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.activeAt(clean); p != nil {
		return p.view(), nil
	}
	if clean == path {
		return PoolView{}, failf(libvirt.ErrNoStoragePool, "no storage pool with matching target path '%s'", path)
	}
	return PoolView{}, failf(libvirt.ErrNoStoragePool, "no storage pool with matching target path '%s' (%s)", path, clean)
}

// activeAt returns the active pool whose folder is target, or nil; mu is held.
func (s *Pools) activeAt(target string) *pool {
	for _, p := range s.byName {
		if p.active && !p.hidden && p.def.Target == target {
			return p
		}
	}
	return nil
}

// Volumes returns the volumes of an active pool, by name.
func (s *Pools) Volumes(spec PoolSpec) ([]VolumeView, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.findActive(spec)
	if err != nil {
		return nil, err
	}
	views := make([]VolumeView, 0, len(p.volumes))
	for _, name := range slices.Sorted(maps.Keys(p.volumes)) {
		views = append(views, p.volumes[name].view(p))
	}
	return views, nil
}

// findActive is find, and an error for an inactive pool; mu is held.
func (s *Pools) findActive(spec PoolSpec) (*pool, error) {
	p, err := s.find(spec)
	if err != nil {
		return nil, err
	}
	if !p.active {
		return nil, errPoolInactive(p.def.Name)
	}
	return p, nil
}

// findVolume returns a volume of an active pool; mu is held.
func (s *Pools) findVolume(spec PoolSpec, name string) (*pool, *volume, error) {
	p, err := s.findActive(spec)
	if err != nil {
		return nil, nil, err
	}
	v := p.volumes[name]
	if v == nil {
		return nil, nil, errNoVolume(name)
	}
	return p, v, nil
}

// view is v as clients see it; mu is held.
func (v *volume) view(p *pool) VolumeView {
	return VolumeView{Volume: v.info, Pool: p.def.Name, Type: v.kind}
}

// Volume returns a volume with its present size, owner and times. One whose
// file has vanished is dropped: the error is libvirt's NO_STORAGE_VOL.
func (s *Pools) Volume(spec PoolSpec, name string) (VolumeView, error) {
	s.mu.Lock()
	p, v, err := s.findVolume(spec, name)
	if err != nil {
		s.mu.Unlock()
		return VolumeView{}, err
	}
	view, building := v.view(p), v.building
	s.mu.Unlock()
	if building {
		return view, nil
	}
	return s.restat(p, v, view)
}

// VolumeByPath returns the volume whose file is path, which is also its key.
func (s *Pools) VolumeByPath(path string) (VolumeView, error) {
	clean := filepath.Clean(path)
	s.mu.Lock()
	var spec PoolSpec
	p := s.activeAt(filepath.Dir(clean))
	if p != nil && p.volumes[filepath.Base(clean)] != nil {
		spec = p.spec()
	}
	s.mu.Unlock()
	if spec.Name != "" {
		return s.Volume(spec, filepath.Base(clean))
	}
	if clean == path {
		return VolumeView{}, failf(libvirt.ErrNoStorageVol, "no storage vol with matching path '%s'", path)
	}
	return VolumeView{}, failf(libvirt.ErrNoStorageVol, "no storage vol with matching path '%s' (%s)", path, clean)
}
