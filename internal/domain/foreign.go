package domain

import (
	"context"

	libvirt "github.com/digitalocean/go-libvirt"
)

// Foreign is told that a guest has appeared under umid which no supervisor of
// ours started. When it is the umid of a defined inactive domain, the domain
// is running from now on.
func (l *List) Foreign(ctx context.Context, umid string) {
	d := l.byUMID(umid)
	if d == nil {
		return
	}
	end, err := d.begin(ctx, "adopt")
	if err != nil {
		d.log.Error("cannot take hold of a guest started by hand", "err", err)
		return
	}
	defer end()
	v := d.View()
	if v.Active() || !v.Persistent() {
		return
	}
	guest, err := l.machine.Foreign(ctx, v.Config)
	if err != nil {
		d.log.Warn("cannot take hold of a guest started by hand", "err", err)
		return
	}
	r := newRun(func() {}, nil)
	if err := d.occupy(r, v.Config); err != nil {
		d.log.Error("cannot take hold of a guest started by hand", "err", err)
		guest.Detach()
		return
	}
	err = d.attach(r, guest, libvirt.DomainRunning, int32(libvirt.DomainRunningUnknown),
		lifecycle(libvirt.DomainEventStarted, libvirt.DomainEventStartedBooted))
	if err != nil {
		d.log.Error("cannot write the live document", "err", err)
	}
}

func (l *List) byUMID(umid string) *Domain {
	for _, v := range l.Views() {
		if v.Config != nil && l.machine.UMID(v.Config) == umid {
			if d, err := l.ByUUID(v.UUID, v.Name); err == nil {
				return d
			}
		}
	}
	return nil
}
