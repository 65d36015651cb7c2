package storage

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	libvirt "github.com/digitalocean/go-libvirt"
	"golang.org/x/sys/unix"

	"virtumld/internal/storagexml"
)

// place finds the pool that def belongs to, or makes a hidden one; mu is held.
// It refuses what clashes with another pool (src/conf/virstorageobj.c,
// virStoragePoolObjListAdd).
func (s *Pools) place(def *storagexml.Pool) (*pool, error) {
	for _, other := range s.byName {
		if other.def.Name != def.Name && other.def.Target == def.Target {
			return nil, failf(libvirt.ErrOperationFailed, "Storage source conflict with pool: '%s'", other.def.Name)
		}
	}
	if p := s.byUUID[def.UUID]; p != nil {
		if p.def.Name != def.Name {
			return nil, failf(libvirt.ErrOperationFailed, "pool '%s' is already defined with uuid %s", p.def.Name, p.def.UUID)
		}
		return p, nil
	}
	if p := s.byName[def.Name]; p != nil {
		return nil, failf(libvirt.ErrOperationFailed, "pool '%s' already exists with uuid %s", def.Name, p.def.UUID)
	}
	p := &pool{turn: make(chan struct{}, 1), def: def, hidden: true}
	s.byUUID[def.UUID], s.byName[def.Name] = p, p
	return p, nil
}

// admit is place, and takes the pool's turn. The caller calls done, which
// removes the pool again when it is still hidden.
func (s *Pools) admit(ctx context.Context, def *storagexml.Pool) (p *pool, done func(), err error) {
	if !filepath.IsAbs(def.Target) {
		return nil, nil, failf(libvirt.ErrInvalidArg, "path '%s' is not absolute", def.Target)
	}
	if err := s.files.CheckName(def.Name); err != nil {
		return nil, nil, err
	}
	for {
		s.mu.Lock()
		p, err = s.place(def)
		s.mu.Unlock()
		if err != nil {
			return nil, nil, err
		}
		if err := s.wait(ctx, p); err == nil {
			return p, func() { s.settle(p) }, nil
		} else if !errors.Is(err, errGone) {
			s.abandon(p, def)
			return nil, nil, err
		}
	}
}

// abandon forgets a pool that was placed for def and never got its turn.
func (s *Pools) abandon(p *pool, def *storagexml.Pool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.hidden && p.def == def {
		s.forget(p)
	}
}

// settle gives p's turn back, and forgets a pool that did not come to be.
func (s *Pools) settle(p *pool) {
	s.mu.Lock()
	if p.hidden {
		s.forget(p)
	}
	s.mu.Unlock()
	<-p.turn
}

// samePool reports whether two definitions are one text.
func samePool(a, b *storagexml.Pool) bool {
	textA, errA := a.XML(storagexml.PoolStats{})
	textB, errB := b.XML(storagexml.PoolStats{})
	return errA == nil && errB == nil && textA == textB
}

// DefinePool keeps def. An active pool takes it at its next start.
func (s *Pools) DefinePool(ctx context.Context, def *storagexml.Pool) (PoolView, error) {
	p, done, err := s.admit(ctx, def)
	if err != nil {
		return PoolView{}, err
	}
	defer done()
	if err := s.noteDefault(def.Name); err != nil {
		return PoolView{}, err
	}
	if err := s.saveConfig(def); err != nil {
		return PoolView{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.active {
		p.next = def
	} else {
		p.def, p.next = def, nil
	}
	p.hidden, p.persistent = false, true
	s.emit(p, eventDefined)
	return p.view(), nil
}

// CreatePool starts a pool that is gone when it stops; one that is defined
// gets its own definition back then.
func (s *Pools) CreatePool(ctx context.Context, def *storagexml.Pool, o BuildOptions) (PoolView, error) {
	if err := o.check(); err != nil {
		return PoolView{}, err
	}
	p, done, err := s.admit(ctx, def)
	if err != nil {
		return PoolView{}, err
	}
	defer done()
	if err := s.noteDefault(def.Name); err != nil {
		return PoolView{}, err
	}
	s.mu.Lock()
	active := p.active
	s.mu.Unlock()
	if active {
		return PoolView{}, failf(libvirt.ErrOperationInvalid, "pool is already active as '%s'", def.Name)
	}
	found, err := s.bringUp(ctx, p, def, o)
	if err != nil {
		return PoolView{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.persistent && p.next == nil && p.def != def {
		p.next = p.def
	}
	p.def, p.hidden = def, false
	s.start(p, found)
	return p.view(), nil
}

// bringUp makes the folder when that is asked for, reads it and notes on disk
// that the pool is active.
func (s *Pools) bringUp(ctx context.Context, p *pool, def *storagexml.Pool, o BuildOptions) (*content, error) {
	if o != (BuildOptions{}) {
		if err := s.build(p, def, o); err != nil {
			return nil, err
		}
	}
	found, err := s.scan(ctx, def.Target)
	if err != nil {
		return nil, err
	}
	return found, s.saveState(def)
}

// start makes p active; mu is held.
func (s *Pools) start(p *pool, found *content) {
	p.active = true
	p.install(found)
	s.emit(p, eventStarted)
}

// check refuses what excludes each other.
func (o BuildOptions) check() error {
	if o.Overwrite && o.NoOverwrite {
		return failf(libvirt.ErrInvalidArg,
			"Flags 'VIR_STORAGE_POOL_BUILD_OVERWRITE' and 'VIR_STORAGE_POOL_BUILD_NO_OVERWRITE' are mutually exclusive")
	}
	return nil
}

// BuildPool makes the folder of an inactive pool.
func (s *Pools) BuildPool(ctx context.Context, spec PoolSpec, o BuildOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	p, done, err := s.takeInactive(ctx, spec)
	if err != nil {
		return err
	}
	defer done()
	if err := s.build(p, p.def, o); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.emit(p, eventCreated)
	return nil
}

// takeInactive is take for a pool that must not be active. Whoever has the
// turn may read p.def: only they change it.
func (s *Pools) takeInactive(ctx context.Context, spec PoolSpec) (*pool, func(), error) {
	p, done, err := s.take(ctx, spec)
	if err != nil {
		return nil, nil, err
	}
	s.mu.Lock()
	active := p.active
	s.mu.Unlock()
	if active {
		done()
		return nil, nil, failf(libvirt.ErrOperationInvalid, "storage pool '%s' is already active", p.def.Name)
	}
	return p, done, nil
}

// build makes the folder, or gives an existing one the permissions that were
// asked for. The overwrite flags are about formatting a device, which such a
// pool has not.
func (s *Pools) build(p *pool, def *storagexml.Pool, o BuildOptions) error {
	s.setBuilding(p, true)
	defer s.setBuilding(p, false)
	if err := buildFolder(def); err != nil {
		return err
	}
	if o.Overwrite || o.NoOverwrite {
		return failf(libvirt.ErrOperationInvalid, "No source device specified when formatting pool '%s'", def.Name)
	}
	return nil
}

func (s *Pools) setBuilding(p *pool, on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.building = on
}

func buildFolder(def *storagexml.Pool) (err error) {
	if parent := filepath.Dir(def.Target); parent != def.Target {
		if err := os.MkdirAll(parent, 0o777); err != nil {
			return systemErr(err, "cannot create path '%s'", parent)
		}
	}
	perms := def.Perms
	if _, statErr := os.Stat(def.Target); statErr != nil {
		if err := os.Mkdir(def.Target, 0o700); err != nil {
			return systemErr(err, "failed to create directory '%s'", def.Target)
		}
		defer func() {
			if err != nil {
				os.Remove(def.Target)
			}
		}()
		if perms.Mode == nil {
			mode := uint32(0o711)
			perms.Mode = &mode
		}
	}
	d, err := openDir(def.Target)
	if err != nil {
		return err
	}
	defer d.Close()
	if perms.Mode == nil {
		return setOwner(d.f, def.Target, perms)
	}
	return setPerms(d.f, def.Target, perms, 0)
}

// StartPool makes an inactive pool active.
func (s *Pools) StartPool(ctx context.Context, spec PoolSpec, o BuildOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	p, done, err := s.takeInactive(ctx, spec)
	if err != nil {
		return err
	}
	defer done()
	found, err := s.bringUp(ctx, p, p.def, o)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.start(p, found)
	return nil
}

// StopPool makes an active pool inactive; a transient one is gone then.
func (s *Pools) StopPool(ctx context.Context, spec PoolSpec) error {
	p, done, err := s.take(ctx, spec)
	if err != nil {
		return err
	}
	defer done()
	s.mu.Lock()
	name := p.def.Name
	switch {
	case !p.active:
		err = errPoolInactive(name)
	case p.jobs > 0:
		err = errPoolJobs(name)
	default:
		p.active = false // no new job from here on
	}
	s.mu.Unlock()
	if err != nil {
		return err
	}
	s.stop(p)
	return nil
}

// stop ends what p was while active; the caller has p's turn.
func (s *Pools) stop(p *pool) {
	s.removeState(p.def.Name)
	s.mu.Lock()
	defer s.mu.Unlock()
	p.active, p.volumes, p.stats, p.found = false, nil, storagexml.PoolStats{}, storagexml.Permissions{}
	s.emit(p, eventStopped)
	if !p.persistent {
		s.forget(p)
		return
	}
	if p.next != nil {
		p.def, p.next = p.next, nil
	}
}

// takeIdle is take for an inactive pool without jobs.
func (s *Pools) takeIdle(ctx context.Context, spec PoolSpec) (*pool, func(), error) {
	p, done, err := s.take(ctx, spec)
	if err != nil {
		return nil, nil, err
	}
	s.mu.Lock()
	switch {
	case p.active:
		err = errPoolActive(p.def.Name)
	case p.jobs > 0:
		err = errPoolJobs(p.def.Name)
	}
	s.mu.Unlock()
	if err != nil {
		done()
		return nil, nil, err
	}
	return p, done, nil
}

// DeletePool removes the folder of an inactive pool, which must be empty.
func (s *Pools) DeletePool(ctx context.Context, spec PoolSpec) error {
	p, done, err := s.takeIdle(ctx, spec)
	if err != nil {
		return err
	}
	defer done()
	if err := removeFolder(p.def.Target); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.emit(p, eventDeleted)
	return nil
}

// removeFolder removes an empty folder; leftovers of unfinished volumes do not
// count.
func removeFolder(target string) error {
	d, err := openDir(target)
	if err != nil {
		return systemErr(err, "failed to remove pool '%s'", target)
	}
	defer d.Close()
	names, err := d.f.Readdirnames(-1)
	if err == nil {
		err = d.cleanTemps(names)
	}
	if err == nil {
		err = unix.Rmdir(target)
	}
	return wrapSystem(err, "failed to remove pool '%s'", target)
}

// UndefinePool forgets an inactive pool; its folder stays.
func (s *Pools) UndefinePool(ctx context.Context, spec PoolSpec) error {
	p, done, err := s.takeIdle(ctx, spec)
	if err != nil {
		return err
	}
	defer done()
	if err := s.noteDefault(p.def.Name); err != nil {
		return err
	}
	if err := s.files.RemoveConfig(p.def.Name); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.emit(p, eventUndefined)
	s.forget(p)
	return nil
}

// SetPoolAutostart makes a defined pool start with the host, or no longer.
func (s *Pools) SetPoolAutostart(ctx context.Context, spec PoolSpec, on bool) error {
	p, done, err := s.take(ctx, spec)
	if err != nil {
		return err
	}
	defer done()
	s.mu.Lock()
	persistent := p.persistent
	s.mu.Unlock()
	if !persistent {
		return failf(libvirt.ErrInternalError, "pool has no config file")
	}
	if err := s.files.SetAutostart(p.def.Name, on); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p.autostart = on
	return nil
}

// RefreshPool reads the folder anew. A pool whose folder cannot be read is
// inactive afterwards, as in libvirt.
func (s *Pools) RefreshPool(ctx context.Context, spec PoolSpec) error {
	s.mu.Lock()
	p, err := s.findActive(spec)
	if err == nil && p.jobs > 0 {
		err = errPoolJobs(p.def.Name)
	}
	s.mu.Unlock()
	if err != nil {
		return err
	}
	return s.rescan(ctx, spec)
}

// rescan is RefreshPool beside jobs, which keep their volumes.
func (s *Pools) rescan(ctx context.Context, spec PoolSpec) error {
	p, done, err := s.take(ctx, spec)
	if err != nil {
		return err
	}
	defer done()
	s.mu.Lock()
	active, def := p.active, p.def
	s.mu.Unlock()
	if !active {
		return errPoolInactive(def.Name)
	}
	found, err := s.scan(ctx, def.Target)
	if err != nil && ctx.Err() != nil {
		return err
	}
	if err != nil {
		s.stop(p)
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p.install(found)
	s.emitRefreshed(p)
	return nil
}
