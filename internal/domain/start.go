package domain

import (
	"context"
	"errors"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/domxml"
	"virtumld/internal/virerr"
)

// RunOptions are the choices of one start.
type RunOptions struct {
	StartOptions
	// Owner, when not nil, is the client connection with which the guest
	// ends (autodestroy); see List.DestroyOwned.
	Owner any
}

// Create starts def: as a transient domain, or as one run of the persistent
// inactive domain of the same name and uuid.
func (l *List) Create(ctx context.Context, def *domxml.Definition, opts RunOptions) (*Domain, error) {
	d, end, err := l.claimJob(ctx, def, "create")
	if err != nil {
		return nil, err
	}
	defer end()

	if d.View().Active() {
		return nil, virerr.New(libvirt.ErrOperationInvalid, "domain '%s' is already active", def.Name)
	}
	return d, d.start(ctx, def, opts)
}

// Start starts a persistent domain.
func (d *Domain) Start(ctx context.Context, opts RunOptions) error {
	end, err := d.begin(ctx, "start")
	if err != nil {
		return err
	}
	defer end()

	v := d.View()
	switch {
	case v.Active():
		return virerr.New(libvirt.ErrOperationInvalid, "domain is already running")
	case !v.Persistent():
		return virerr.New(libvirt.ErrNoDomain, "no domain with matching uuid '%s' (%s)", d.uuid, v.Name)
	}
	return d.start(ctx, v.Config, opts)
}

// start runs in a job of an inactive domain. While the guest boots, the domain
// is active and paused (starting up), so that others see it and may destroy
// it.
func (d *Domain) start(ctx context.Context, def *domxml.Definition, opts RunOptions) error {
	ctx, cancel := work(ctx, startLimit)
	defer cancel()
	if err := d.list.machine.Check(ctx, def); err != nil {
		return err
	}

	def = d.list.named(def)
	r := newRun(cancel, opts.Owner)
	if err := d.occupy(r, def); err != nil {
		return err
	}
	guest, err := d.list.machine.Start(ctx, def, opts.StartOptions)
	if err != nil {
		d.ended(r, startFailed(ctx))
		return err
	}
	started := lifecycle(libvirt.DomainEventStarted, libvirt.DomainEventStartedBooted)
	if !opts.Paused {
		return d.attach(r, guest, libvirt.DomainRunning, int32(libvirt.DomainRunningBooted), started)
	}
	return d.attach(r, guest, libvirt.DomainPaused, int32(libvirt.DomainPausedUser), started,
		lifecycle(libvirt.DomainEventSuspended, libvirt.DomainEventSuspendedPaused))
}

// occupy makes r the run of d, with the next id.
func (d *Domain) occupy(r *run, def *domxml.Definition) error {
	next := *d.View()
	next.ID, next.Live = d.list.takeID(d), def
	text, err := next.document()
	if err != nil {
		d.list.dropID(next.ID)
		return err
	}
	d.mu.Lock()
	d.run = r
	d.lockedChange(func(v *View) {
		v.ID, v.Live, v.LiveXML = next.ID, def, text
		v.State, v.Reason = libvirt.DomainPaused, int32(libvirt.DomainPausedStartingUp)
	})
	d.mu.Unlock()
	d.syncStatus()
	return nil
}

// startFailed is the end of a guest that never ran: given up when Destroy cut
// the start short, else failed.
func startFailed(ctx context.Context) Exit {
	if errors.Is(ctx.Err(), context.Canceled) {
		return Exit{Cause: CauseDestroyed}
	}
	return Exit{Cause: CauseFailed}
}

// attach makes guest the running guest of d and begins to follow it.
func (d *Domain) attach(r *run, guest Guest, state libvirt.DomainState, reason int32, changes ...Change) error {
	next := *d.View()
	next.Facts = guest.Facts()
	text, err := next.document()
	d.mu.Lock()
	r.guest = guest
	d.lockedChange(func(v *View) {
		v.Facts, v.LiveXML = next.Facts, text
		v.State, v.Reason = state, reason
	}, changes...)
	d.mu.Unlock()
	close(r.made)
	d.syncStatus()
	d.follow(r, guest)
	return err
}
