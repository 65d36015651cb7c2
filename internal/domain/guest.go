package domain

import (
	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/domxml"
)

// follow applies what the guest tells of itself until it has ended or is let
// go of. It is the one goroutine that a running guest costs the list.
func (d *Domain) follow(r *run, guest Guest) {
	d.list.followers.Add(1)
	go func() {
		defer d.list.followers.Done()
		for e := range guest.Events() {
			switch e.Type {
			case Rebooted:
				d.rebooted(guest)
			case Panicked:
				d.panicked(e.Text)
			case Exited:
				d.log.Info("guest ended", "cause", e.Exit.Cause, "detail", e.Exit.Text)
				d.ended(r, e.Exit)
			}
		}
	}()
}

func (d *Domain) rebooted(guest Guest) {
	facts := guest.Facts()
	changes := []Change{{Reboot: &Reboot{}}}
	if d.View().State == libvirt.DomainPaused {
		// A reset lets a paused guest run.
		changes = append(changes, lifecycle(libvirt.DomainEventResumed, libvirt.DomainEventResumedUnpaused))
	}
	d.change(func(v *View) {
		v.Facts = facts
		v.State, v.Reason = libvirt.DomainRunning, int32(libvirt.DomainRunningBooted)
	}, changes...)
	d.syncStatus()
}

func (d *Domain) panicked(text string) {
	d.log.Info("guest panicked", "message", text)
	d.change(func(v *View) {
		if v.Live.OnCrash == domxml.ActionPreserve {
			v.State, v.Reason = libvirt.DomainCrashed, int32(libvirt.DomainCrashedPanicked)
			v.Facts.PID = 0
		}
	}, lifecycle(libvirt.DomainEventCrashed, libvirt.DomainEventCrashedPanicked))
	d.syncStatus()
}

// ended takes the guest of r out of the domain and tells why.
func (d *Domain) ended(r *run, exit Exit) {
	v := d.View()
	if err := d.list.machine.Forget(v.Live); err != nil {
		d.log.Error("cannot clean up after the guest", "err", err)
	}
	d.mu.Lock()
	d.run = nil
	d.lockedChange(func(v *View) {
		v.ID, v.Live, v.LiveXML, v.Facts = inactive, nil, Document{}, Facts{}
		v.State, v.Reason = libvirt.DomainShutoff, shutoffReason(exit.Cause)
	}, stopped(exit)...)
	d.mu.Unlock()
	d.syncStatus()
	d.list.release(d)
	close(r.gone)
	d.list.dropID(v.ID)
}

// stopped is what clients hear of an end.
func stopped(exit Exit) []Change {
	switch exit.Cause {
	case CauseShutdown:
		by := libvirt.DomainEventShutdownGuest
		if exit.ByHost {
			by = libvirt.DomainEventShutdownHost
		}
		return []Change{
			lifecycle(libvirt.DomainEventShutdown, by),
			lifecycle(libvirt.DomainEventStopped, libvirt.DomainEventStoppedShutdown),
		}
	case CauseDestroyed:
		return []Change{lifecycle(libvirt.DomainEventStopped, libvirt.DomainEventStoppedDestroyed)}
	case CauseCrashed:
		return []Change{lifecycle(libvirt.DomainEventStopped, libvirt.DomainEventStoppedCrashed)}
	default:
		return []Change{lifecycle(libvirt.DomainEventStopped, libvirt.DomainEventStoppedFailed)}
	}
}

func shutoffReason(cause Cause) int32 {
	switch cause {
	case CauseShutdown:
		return int32(libvirt.DomainShutoffShutdown)
	case CauseDestroyed:
		return int32(libvirt.DomainShutoffDestroyed)
	case CauseCrashed:
		return int32(libvirt.DomainShutoffCrashed)
	default:
		return int32(libvirt.DomainShutoffFailed)
	}
}
