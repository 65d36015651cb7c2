package domain

import (
	"context"
	"sync"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/domxml"
	"virtumld/internal/store"
)

// Load fills the list from disk and takes hold of the guests that an earlier
// daemon left running. What cannot be read is logged and left where it is.
func (l *List) Load(ctx context.Context) error {
	configs, problems, err := l.store.LoadConfigs(ctx, domxml.Parse)
	if err != nil {
		return err
	}
	l.report(problems)
	for _, c := range configs {
		l.add(c)
	}
	statuses, problems, err := l.store.LoadStatuses(ctx)
	if err != nil {
		return err
	}
	l.report(problems)
	l.adoptAll(ctx, statuses)
	return nil
}

func (l *List) report(problems []store.Problem) {
	for _, p := range problems {
		l.log.Error("file skipped", "path", p.Path, "err", p.Err)
	}
}

func (l *List) add(c store.Config) {
	d, err := l.claim(c.Def)
	if err != nil {
		l.log.Error("definition skipped", "domain", c.Def.Name, "err", err)
		return
	}
	d.change(func(v *View) { v.Config, v.Autostart = c.Def, c.Autostart })
}

// adoptAll adopts every guest of statuses at the same time: one that does not
// answer must not keep the others waiting.
func (l *List) adoptAll(ctx context.Context, statuses []store.Status) {
	var adopting sync.WaitGroup
	for _, status := range statuses {
		adopting.Go(func() { l.adopt(ctx, status) })
	}
	adopting.Wait()
}

func (l *List) adopt(ctx context.Context, status store.Status) {
	live, err := domxml.ParseLive([]byte(status.Document))
	if err != nil {
		l.log.Error("status skipped", "domain", status.Name, "err", err)
		return
	}
	l.keepNames(live)
	d, end, err := l.claimJob(ctx, live, "adopt")
	if err != nil {
		l.log.Error("status skipped", "domain", status.Name, "err", err)
		return
	}
	defer end()

	guest, exit, err := l.machine.Adopt(ctx, live)
	if err != nil {
		// Whether the guest lives is not known: nothing of it is touched, so
		// that the next daemon can try again.
		d.log.Error("cannot adopt the guest, left as it is", "err", err)
		return
	}
	r := d.resume(status, live)
	if exit != nil {
		d.log.Info("guest ended meanwhile", "cause", exit.Cause, "detail", exit.Text)
		d.ended(r, *exit)
		return
	}
	state, reason := stateNow(status, guest.Facts())
	if err := d.attach(r, guest, state, reason); err != nil {
		d.log.Error("cannot write the live document", "err", err)
	}
	if status.Autodestroy {
		d.log.Info("destroying the guest: its client went with the earlier daemon")
		go d.destroyLeftover(ctx)
	}
}

// stateNow is what a guest is that the status left in some state: it may have
// gone on since.
func stateNow(status store.Status, facts Facts) (libvirt.DomainState, int32) {
	switch {
	case facts.Preserved:
		return libvirt.DomainCrashed, int32(libvirt.DomainCrashedPanicked)
	case facts.Held:
		return libvirt.DomainPaused, int32(libvirt.DomainPausedUser)
	case status.State == libvirt.DomainPaused && status.Reason != int32(libvirt.DomainPausedStartingUp):
		return status.State, status.Reason
	case status.State == libvirt.DomainRunning:
		return status.State, status.Reason
	default:
		return libvirt.DomainRunning, int32(libvirt.DomainRunningBooted)
	}
}

// resume puts d where the status says it was.
func (d *Domain) resume(status store.Status, live *domxml.Definition) *run {
	r := newRun(func() {}, nil)
	d.list.keepID(d, status.ID)
	text := Document{status.Document, status.Document} // until attach writes it anew
	d.mu.Lock()
	defer d.mu.Unlock()
	d.run = r
	d.lockedChange(func(v *View) {
		v.ID, v.Live, v.LiveXML = status.ID, live, text
		v.State, v.Reason = status.State, status.Reason
	})
	return r
}

// Autostart starts the domains that are marked for it, one after the other,
// and returns when ctx ends or all are started.
func (l *List) Autostart(ctx context.Context) {
	for _, v := range l.Views() {
		if !v.Autostart || v.Active() || ctx.Err() != nil {
			continue
		}
		d, err := l.ByUUID(v.UUID, v.Name)
		if err != nil {
			continue
		}
		if err := d.Start(ctx, RunOptions{}); err != nil {
			d.log.Error("autostart failed", "err", err)
		}
	}
}

// Close lets go of every guest; they live on. It returns when nothing of the
// list runs any more.
func (l *List) Close() {
	for _, v := range l.Views() {
		d, err := l.ByUUID(v.UUID, v.Name)
		if err != nil {
			continue
		}
		if guest, err := d.running(); err == nil {
			guest.Detach()
		}
	}
	l.followers.Wait()
}
