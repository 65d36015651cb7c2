package domain

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"

	libvirt "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"

	"virtumld/internal/domxml"
	"virtumld/internal/store"
	"virtumld/internal/virerr"
)

// List is every domain of one instance.
type List struct {
	store   *store.Store
	machine Machine
	bus     *Bus
	log     *slog.Logger

	version  atomic.Uint64 // counts the changes of all views
	lastPort atomic.Int64  // the number in the next generated name of an interface

	// bridgeOf tells the host's bridge of a network, "" for none; it may be nil.
	bridgeOf func(network string) string

	followers sync.WaitGroup // the goroutines of running guests

	mu     sync.RWMutex // guards: all below
	byUUID map[uuid.UUID]*Domain
	byName map[string]*Domain
	byID   map[int32]*Domain
	lastID int32
	idle   func() // told when the last guest has ended
}

// NewList makes an empty list; Load fills it.
func NewList(st *store.Store, machine Machine, bus *Bus, log *slog.Logger) *List {
	return &List{
		store: st, machine: machine, bus: bus, log: log,
		byUUID: make(map[uuid.UUID]*Domain),
		byName: make(map[string]*Domain),
		byID:   make(map[int32]*Domain),
	}
}

// OnBridge has find tell the bridge of the host that an active network is, ""
// for another one. It is called before the list is used.
func (l *List) OnBridge(find func(network string) string) { l.bridgeOf = find }

// ByUUID finds a domain. name only serves the error's text.
func (l *List) ByUUID(id uuid.UUID, name string) (*Domain, error) {
	l.mu.RLock()
	d := l.byUUID[id]
	l.mu.RUnlock()
	if d != nil && d.View().exists() {
		return d, nil
	}
	if name == "" {
		return nil, virerr.New(libvirt.ErrNoDomain, "no domain with matching uuid '%s'", id)
	}
	return nil, virerr.New(libvirt.ErrNoDomain, "no domain with matching uuid '%s' (%s)", id, name)
}

// ByName finds a domain by its name.
func (l *List) ByName(name string) (*Domain, error) {
	l.mu.RLock()
	d := l.byName[name]
	l.mu.RUnlock()
	if d != nil && d.View().exists() {
		return d, nil
	}
	return nil, virerr.New(libvirt.ErrNoDomain, "no domain with matching name '%s'", name)
}

// ByID finds an active domain by its id.
func (l *List) ByID(id int32) (*Domain, error) {
	l.mu.RLock()
	d := l.byID[id]
	l.mu.RUnlock()
	if d != nil && d.View().ID == id {
		return d, nil
	}
	return nil, virerr.New(libvirt.ErrNoDomain, "no domain with matching id %d", id)
}

// Views returns every domain as it is now, in no particular order.
func (l *List) Views() []*View {
	l.mu.RLock()
	defer l.mu.RUnlock()
	views := make([]*View, 0, len(l.byUUID))
	for _, d := range l.byUUID {
		if v := d.View(); v.exists() {
			views = append(views, v)
		}
	}
	return views
}

// Version changes whenever a View does, before whoever made the change goes
// on: what was made of Views at one version is true as long as it stays.
func (l *List) Version() uint64 { return l.version.Load() }

// Busy reports whether any guest runs.
func (l *List) Busy() bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return len(l.byID) > 0
}

// OnIdle has f called, from a goroutine of the list, whenever the last guest
// has ended.
func (l *List) OnIdle(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.idle = f
}

// claim finds the domain that def speaks of, or keeps a place for a new one,
// which is dropped at the end of a job that has put nothing there. A name or
// uuid that belongs to another domain is refused.
func (l *List) claim(def *domxml.Definition) (*Domain, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if d := l.byUUID[def.UUID]; d != nil {
		if name := d.View().Name; name != def.Name {
			return nil, virerr.New(libvirt.ErrOperationFailed,
				"domain '%s' is already defined with uuid %s", name, def.UUID)
		}
		return d, nil
	}
	if d := l.byName[def.Name]; d != nil {
		return nil, virerr.New(libvirt.ErrOperationFailed,
			"domain '%s' already exists with uuid %s", def.Name, d.uuid)
	}
	d := newDomain(l, def.UUID, def.Name)
	l.byUUID[def.UUID] = d
	l.byName[def.Name] = d
	return d, nil
}

// claimJob claims def's domain and begins a job on it. It starts over when
// the domain vanished while the job was waited for.
func (l *List) claimJob(ctx context.Context, def *domxml.Definition, job string) (*Domain, func(), error) {
	for {
		d, err := l.claim(def)
		if err != nil {
			return nil, nil, err
		}
		end, err := d.begin(ctx, job)
		if err != nil {
			return nil, nil, err
		}
		if l.holds(d) {
			return d, end, nil
		}
		end()
	}
}

func (l *List) holds(d *Domain) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.byUUID[d.uuid] == d
}

// release drops d from the list when nothing is left of it. A job that runs on
// d may be about to fill the place again, so it is left to that job's end.
func (l *List) release(d *Domain) {
	for !d.View().exists() && l.holds(d) {
		select {
		case d.job <- struct{}{}:
			l.drop(d)
			<-d.job
		default:
			return
		}
	}
}

// drop is release for a caller that holds d's job.
func (l *List) drop(d *Domain) {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := d.View()
	if v.exists() || l.byUUID[d.uuid] != d {
		return
	}
	delete(l.byUUID, d.uuid)
	if l.byName[v.Name] == d {
		delete(l.byName, v.Name)
	}
}

// takeID gives d the next id.
func (l *List) takeID(d *Domain) int32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lastID++
	l.byID[l.lastID] = d
	return l.lastID
}

// keepID gives d the id that it had under an earlier daemon.
func (l *List) keepID(d *Domain, id int32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lastID = max(l.lastID, id)
	l.byID[id] = d
}

// dropID takes the id of an ended guest back.
func (l *List) dropID(id int32) {
	l.mu.Lock()
	delete(l.byID, id)
	idle := l.idle
	if len(l.byID) > 0 {
		idle = nil
	}
	l.mu.Unlock()
	if idle != nil {
		idle()
	}
}
