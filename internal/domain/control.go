package domain

import (
	"context"
	"errors"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/virerr"
)

// Destroy ends the guest at once and returns when every process of it is
// gone. A guest that is still being started is given up. With graceful, the
// kernel is asked to end and ErrResourceBusy says that it did not.
func (d *Domain) Destroy(ctx context.Context, graceful bool) error {
	d.mu.Lock()
	r := d.run
	d.mu.Unlock()
	if r == nil {
		return ErrNotRunning()
	}
	ctx, cancel := work(ctx, killLimit)
	defer cancel()
	r.abort()
	select {
	case <-r.made:
		if err := end(ctx, r.guest, graceful); err != nil {
			return err
		}
	case <-r.gone:
		return nil
	case <-ctx.Done():
	}
	select {
	case <-r.gone:
		return nil
	case <-ctx.Done():
		return virerr.New(libvirt.ErrOperationTimeout, "the guest of domain '%s' does not end", d.View().Name)
	}
}

func end(ctx context.Context, guest Guest, graceful bool) error {
	if graceful {
		return guest.Terminate(ctx)
	}
	return guest.Kill(ctx)
}

// DestroyOwned destroys the guests that were started for owner.
func (l *List) DestroyOwned(ctx context.Context, owner any) {
	for _, d := range l.ownedBy(owner) {
		if err := d.Destroy(ctx, false); err != nil && !virerr.Is(err, libvirt.ErrOperationInvalid) {
			l.log.Error("autodestroy failed", "domain", d.View().Name, "err", err)
		}
	}
}

func (l *List) ownedBy(owner any) []*Domain {
	l.mu.RLock()
	defer l.mu.RUnlock()
	var owned []*Domain
	for _, d := range l.byID {
		d.mu.Lock()
		if d.run != nil && d.run.owner == owner {
			owned = append(owned, d)
		}
		d.mu.Unlock()
	}
	return owned
}

// Shutdown asks the guest to power off and returns once it is asked.
func (d *Domain) Shutdown(ctx context.Context) error {
	return d.ask(ctx, "shutdown", Guest.Shutdown)
}

// Reboot asks the guest to reboot and returns once it is asked.
func (d *Domain) Reboot(ctx context.Context) error {
	return d.ask(ctx, "reboot", Guest.Reboot)
}

// Reset restarts the guest's kernel at once.
func (d *Domain) Reset(ctx context.Context) error {
	return d.ask(ctx, "reset", Guest.Reset)
}

// Sysrq gives the guest's kernel a magic SysRq command.
func (d *Domain) Sysrq(ctx context.Context, letter byte) error {
	return d.ask(ctx, "sysrq "+string(rune(letter)), func(guest Guest, ctx context.Context) error {
		return guest.Sysrq(ctx, letter)
	})
}

// ask runs one request to the guest as a job.
func (d *Domain) ask(ctx context.Context, job string, request func(Guest, context.Context) error) error {
	end, err := d.begin(ctx, job)
	if err != nil {
		return err
	}
	defer end()
	guest, err := d.running()
	if err != nil {
		return err
	}
	ctx, cancel := work(ctx, answerLimit)
	defer cancel()
	return asTimeout(request(guest, ctx), job)
}

// asTimeout gives a request that got no answer libvirt's code.
func asTimeout(err error, job string) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return virerr.New(libvirt.ErrOperationTimeout, "the guest did not answer to %s: %w", job, err)
	}
	return err
}

// Suspend stops the guest's execution. As with the QEMU driver, a paused
// guest may be suspended again.
func (d *Domain) Suspend(ctx context.Context) error {
	return d.pauseJob(ctx, "suspend", func(ctx context.Context, guest Guest) error {
		if d.View().State == libvirt.DomainPaused {
			return nil
		}
		if err := guest.Suspend(ctx); err != nil {
			return err
		}
		d.setState(libvirt.DomainPaused, int32(libvirt.DomainPausedUser),
			lifecycle(libvirt.DomainEventSuspended, libvirt.DomainEventSuspendedPaused))
		return nil
	})
}

// Resume lets a paused guest go on.
func (d *Domain) Resume(ctx context.Context) error {
	return d.pauseJob(ctx, "resume", func(ctx context.Context, guest Guest) error {
		if d.View().State != libvirt.DomainPaused {
			return virerr.New(libvirt.ErrOperationInvalid, "domain is already running")
		}
		if err := guest.Resume(ctx); err != nil {
			return err
		}
		d.setState(libvirt.DomainRunning, int32(libvirt.DomainRunningUnpaused),
			lifecycle(libvirt.DomainEventResumed, libvirt.DomainEventResumedUnpaused))
		return nil
	})
}

func (d *Domain) pauseJob(ctx context.Context, job string, do func(context.Context, Guest) error) error {
	return d.ask(ctx, job, func(guest Guest, ctx context.Context) error {
		if d.View().State == libvirt.DomainCrashed {
			return virerr.New(libvirt.ErrOperationInvalid, "the guest has crashed; destroy or reset it")
		}
		return do(ctx, guest)
	})
}

// setState moves a running guest to another state and keeps it on disk. A
// guest that has ended meanwhile stays ended.
func (d *Domain) setState(state libvirt.DomainState, reason int32, changes ...Change) {
	d.mu.Lock()
	if d.run != nil {
		d.lockedChange(func(v *View) { v.State, v.Reason = state, reason }, changes...)
	}
	d.mu.Unlock()
	d.syncStatus()
}

// destroyLeftover ends a guest whose owner is gone.
func (d *Domain) destroyLeftover(ctx context.Context) {
	if err := d.Destroy(ctx, false); err != nil {
		d.log.Error("autodestroy failed", "err", err)
	}
}
