package domain

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"

	libvirt "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"

	"virtumld/internal/virerr"
)

// Domain is one domain of a List.
//
// Locks, in the order in which they may be taken: the job (begin), List.mu,
// Domain.mu, Bus.mu. Domain.mu is held for moments, never over I/O; status is
// taken alone, after all of them.
type Domain struct {
	list *List
	uuid uuid.UUID
	log  *slog.Logger

	job     chan struct{} // holds one token while a job runs
	jobName atomic.Pointer[string]

	view atomic.Pointer[View]

	mu  sync.Mutex // guards: every change of view, and run
	run *run       // the running guest, nil when there is none

	status sync.Mutex // guards: the status file, so that the last state wins
}

// run is what belongs to one run of a guest.
type run struct {
	guest Guest // nil until made is closed, constant after
	// abort ends a start that is under way; made is closed when it is over
	// and guest is set.
	abort context.CancelFunc
	made  chan struct{}
	// owner is the client connection with which an autodestroy guest ends.
	owner any
	// gone is closed when the end of the guest has been told.
	gone chan struct{}
}

func newDomain(l *List, id uuid.UUID, name string) *Domain {
	d := &Domain{
		list: l, uuid: id, job: make(chan struct{}, 1),
		log: l.log.With("domain", name, "uuid", id),
	}
	d.view.Store(&View{
		Identity: Identity{Name: name, UUID: id, ID: inactive},
		State:    libvirt.DomainShutoff,
		Reason:   int32(libvirt.DomainShutoffUnknown),
	})
	return d
}

// View is the domain as it is now.
func (d *Domain) View() *View { return d.view.Load() }

// change makes the next view of d and tells the bus, as one step: clients hear
// of changes in the order in which they can be seen.
func (d *Domain) change(edit func(*View), changes ...Change) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lockedChange(edit, changes...)
}

// lockedChange is change for a caller that holds d.mu.
func (d *Domain) lockedChange(edit func(*View), changes ...Change) {
	next := *d.view.Load()
	edit(&next)
	d.view.Store(&next)
	d.list.version.Add(1)
	for i := range changes {
		if changes[i].Domain.Name == "" {
			changes[i].Domain = next.Identity
		}
	}
	d.list.bus.publish(changes...)
}

func newRun(abort context.CancelFunc, owner any) *run {
	return &run{abort: abort, owner: owner, made: make(chan struct{}), gone: make(chan struct{})}
}

// running returns the guest of an active domain, or libvirt's refusal.
func (d *Domain) running() (Guest, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.run == nil:
		return nil, ErrNotRunning()
	case d.run.guest == nil:
		return nil, virerr.New(libvirt.ErrOperationInvalid, "domain is being started")
	default:
		return d.run.guest, nil
	}
}

// ErrNotRunning is libvirt's refusal of what only a running guest can do.
func ErrNotRunning() error {
	return virerr.New(libvirt.ErrOperationInvalid, "domain is not running")
}
