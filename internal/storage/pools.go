package storage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/google/uuid"

	"virtumld/internal/storagexml"
	"virtumld/internal/store"
)

// Config is what an instance's storage needs to know.
type Config struct {
	// ConfigDir holds the definitions: NAME.xml, and autostart/NAME.xml, a
	// link to it for each pool that starts with the host (libvirt's layout).
	ConfigDir string
	// StateDir holds NAME.xml of each active pool; it survives the daemon,
	// not the host.
	StateDir string
	// DefaultTarget is the folder of the pool "default".
	DefaultTarget string
	// Log gets what no caller can be told.
	Log *slog.Logger
}

// Pools is an instance's storage. Its methods may be called at the same time.
//
// mu guards everything in memory and is never held over I/O. Work on a pool's
// folder and definition takes the pool's turn, one at a time; work on a
// volume's data marks the volume and counts as one of the pool's jobs.
type Pools struct {
	cfg   Config
	files *store.Definitions

	// makingDefault is held while the pool "default" is looked for and made.
	makingDefault sync.Mutex

	mu          sync.Mutex
	byUUID      map[uuid.UUID]*pool
	byName      map[string]*pool
	subscribers []*subscriber // replaced, never changed in place
}

var _ Manager = (*Pools)(nil)

// pool is one pool. Its fields but turn are guarded by Pools.mu.
type pool struct {
	// turn is a lock that can be waited for with a context: whoever has put
	// a value in it does the pool's I/O.
	turn chan struct{}

	// def is the present definition; next is that for the next start, nil
	// when it is the same.
	def, next *storagexml.Pool
	// found are the permissions of an active pool's folder.
	found      storagexml.Permissions
	active     bool
	persistent bool
	autostart  bool
	building   bool
	// hidden pools are being defined or made for the first time: their name
	// and uuid are taken, but nobody sees them.
	hidden bool
	// gone says that the pool was removed from Pools.
	gone bool

	stats   storagexml.PoolStats
	jobs    int
	volumes map[string]*volume
}

// volume is one volume; its fields are guarded by Pools.mu.
type volume struct {
	info *storagexml.Volume // never changed, only replaced
	kind int32              // virStorageVolType
	// building says that the file is not there yet.
	building bool
	// readers and writing are the jobs on its content.
	readers int
	writing bool
}

func (p *pool) spec() PoolSpec { return PoolSpec{Name: p.def.Name, UUID: p.def.UUID} }

// Open opens the folders of an instance, which are made where they are
// missing. Load then reads what is in them.
func Open(cfg Config) (*Pools, error) {
	s := &Pools{cfg: cfg, byUUID: map[uuid.UUID]*pool{}, byName: map[string]*pool{}}
	if s.cfg.Log == nil {
		s.cfg.Log = slog.New(slog.DiscardHandler)
	}
	var err error
	s.files, err = store.OpenDefinitions(kind, cfg.ConfigDir, cfg.StateDir)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Close lets go of the folders. Pools stay active for the next Open.
func (s *Pools) Close() error {
	return s.files.Close()
}

// take waits for the turn of the pool that spec picks; the caller calls done.
func (s *Pools) take(ctx context.Context, spec PoolSpec) (p *pool, done func(), err error) {
	s.mu.Lock()
	p, err = s.find(spec)
	s.mu.Unlock()
	if err != nil {
		return nil, nil, err
	}
	if err := s.wait(ctx, p); errors.Is(err, errGone) {
		return nil, nil, errNoPool(spec)
	} else if err != nil {
		return nil, nil, err
	}
	return p, func() { <-p.turn }, nil
}

// errGone says that a pool was removed while its turn was waited for.
var errGone = errors.New("the pool is gone")

// wait takes p's turn.
func (s *Pools) wait(ctx context.Context, p *pool) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("storage pool: %w", err) // select might not look
	}
	select {
	case p.turn <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("waiting for the storage pool: %w", ctx.Err())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.gone {
		<-p.turn
		return errGone
	}
	return nil
}

// forget removes p; mu is held.
func (s *Pools) forget(p *pool) {
	p.gone = true
	delete(s.byUUID, p.def.UUID)
	delete(s.byName, p.def.Name)
}
