package domain

import (
	"context"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/domxml"
	"virtumld/internal/virerr"
)

// Define makes def the persistent definition of its domain: a new one, or what
// an existing one has from its next start on. It is on disk when Define
// returns.
func (l *List) Define(ctx context.Context, def *domxml.Definition) (*Domain, error) {
	if err := l.machine.Check(ctx, def); err != nil {
		return nil, err
	}
	d, end, err := l.claimJob(ctx, def, "define")
	if err != nil {
		return nil, err
	}
	defer end()

	detail := libvirt.DomainEventDefinedAdded
	if d.View().Persistent() {
		detail = libvirt.DomainEventDefinedUpdated
	}
	if err := l.store.SaveConfig(def.Name, def.XML(true)); err != nil {
		return nil, err
	}
	d.change(func(v *View) { v.Config = def }, lifecycle(libvirt.DomainEventDefined, detail))
	return d, nil
}

// Undefine forgets the persistent definition. An active domain becomes
// transient and lives on.
func (d *Domain) Undefine(ctx context.Context) error {
	end, err := d.begin(ctx, "undefine")
	if err != nil {
		return err
	}
	defer end()

	v := d.View()
	if !v.Persistent() {
		return virerr.New(libvirt.ErrOperationInvalid, "cannot undefine transient domain")
	}
	if err := d.list.store.RemoveConfig(v.Name); err != nil {
		return err
	}
	d.change(func(v *View) { v.Config, v.Autostart = nil, false },
		lifecycle(libvirt.DomainEventUndefined, libvirt.DomainEventUndefinedRemoved))
	return nil
}

// Rename gives an inactive persistent domain another name.
func (d *Domain) Rename(ctx context.Context, name string) error {
	end, err := d.begin(ctx, "rename")
	if err != nil {
		return err
	}
	defer end()

	v := d.View()
	switch {
	case v.Active():
		return virerr.New(libvirt.ErrOperationInvalid, "cannot rename active domain")
	case !v.Persistent():
		return virerr.New(libvirt.ErrOperationInvalid, "cannot rename a transient domain")
	case v.Name == name:
		return virerr.New(libvirt.ErrOperationInvalid, "Can't rename domain to itself")
	}
	def, err := v.Config.WithName(name)
	if err != nil {
		return err
	}
	if err := d.list.reserveName(d, name); err != nil {
		return err
	}
	if err := d.list.store.Rename(v.Name, name, def.XML(true)); err != nil {
		d.list.dropName(d, name)
		return err
	}
	was := v.Identity
	d.change(func(v *View) { v.Name, v.Config = name, def },
		Change{Domain: was, Lifecycle: &Lifecycle{libvirt.DomainEventUndefined, int32(libvirt.DomainEventUndefinedRenamed)}},
		lifecycle(libvirt.DomainEventDefined, libvirt.DomainEventDefinedRenamed))
	d.list.dropName(d, was.Name)
	return nil
}

func (l *List) reserveName(d *Domain, name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byName[name] != nil {
		return virerr.New(libvirt.ErrOperationInvalid, "domain with name '%s' already exists", name)
	}
	l.byName[name] = d
	return nil
}

func (l *List) dropName(d *Domain, name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byName[name] == d {
		delete(l.byName, name)
	}
}

// SetAutostart sets whether the domain is started with the daemon.
func (d *Domain) SetAutostart(ctx context.Context, on bool) error {
	end, err := d.begin(ctx, "autostart")
	if err != nil {
		return err
	}
	defer end()

	v := d.View()
	if !v.Persistent() {
		return virerr.New(libvirt.ErrOperationInvalid, "cannot set autostart for transient domain")
	}
	if v.Autostart == on {
		return nil
	}
	if err := d.list.store.SetAutostart(v.Name, on); err != nil {
		return err
	}
	d.change(func(v *View) { v.Autostart = on })
	return nil
}

// Check refuses what this host's kernels cannot do.
func (l *List) Check(ctx context.Context, def *domxml.Definition) error {
	return l.machine.Check(ctx, def)
}
