package domain

import (
	"context"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/domxml"
	"virtumld/internal/virerr"
)

// AttachDevice adds a device to the sides that t names.
func (d *Domain) AttachDevice(ctx context.Context, dev *domxml.Device, t Target) error {
	var added domxml.Interface
	return d.Edit(ctx, Edit{
		Job:    "attach device",
		Target: t,
		Change: func(def *domxml.Definition) (*domxml.Definition, error) {
			return d.checked(ctx)(def.WithDevice(dev))
		},
		Apply: applied(d, plugOf, func(ctx context.Context, plug Plug, _, live *domxml.Definition) (err error) {
			if added, err = live.Interface(dev.MAC()); err != nil {
				return err
			}
			return plug.AttachInterface(ctx, live, added)
		}, func(ctx context.Context, plug Plug, _ *domxml.Definition) error {
			return plug.DetachInterface(ctx, added)
		}),
		TellLive: func() []Change { return []Change{{Device: &DeviceChange{Alias: added.Alias, Added: true}}} },
	})
}

// DetachDevice takes a device away from the sides that t names. find tells it
// in each side's definition.
func (d *Domain) DetachDevice(ctx context.Context, find func(*domxml.Definition) (domxml.Interface, error), t Target) error {
	var gone domxml.Interface
	return d.Edit(ctx, Edit{
		Job:    "detach device",
		Target: t,
		Change: func(def *domxml.Definition) (*domxml.Definition, error) {
			n, err := find(def)
			if err != nil {
				return nil, err
			}
			return def.WithoutInterface(n.Alias)
		},
		Apply: applied(d, plugOf, func(ctx context.Context, plug Plug, before, _ *domxml.Definition) (err error) {
			if gone, err = find(before); err != nil {
				return err
			}
			return plug.DetachInterface(ctx, gone)
		}, func(ctx context.Context, plug Plug, before *domxml.Definition) error {
			return plug.AttachInterface(ctx, before, gone)
		}),
		TellLive: func() []Change { return []Change{{Device: &DeviceChange{Alias: gone.Alias}}} },
	})
}

// UpdateDevice changes the device that dev means to what dev says.
func (d *Domain) UpdateDevice(ctx context.Context, dev *domxml.Device, t Target) error {
	find := func(def *domxml.Definition) (domxml.Interface, error) { return def.Match(dev) }
	return d.Edit(ctx, Edit{
		Job:    "update device",
		Target: t,
		Change: func(def *domxml.Definition) (*domxml.Definition, error) {
			return d.checked(ctx)(def.WithUpdate(dev))
		},
		Apply: d.applyUpdate(find),
	})
}

// SetBandwidth changes the limits of the interface that libvirt's API calls
// device (domxml.Definition.Interface); nil leaves one as it is.
func (d *Domain) SetBandwidth(ctx context.Context, device string, inbound, outbound *domxml.Bandwidth, t Target) error {
	find := func(def *domxml.Definition) (domxml.Interface, error) { return def.Interface(device) }
	return d.Edit(ctx, Edit{
		Job:    "set interface parameters",
		Target: t,
		Change: func(def *domxml.Definition) (*domxml.Definition, error) {
			n, err := find(def)
			if err != nil {
				return nil, err
			}
			return def.WithBandwidth(n.Alias, inbound, outbound)
		},
		Apply: d.applyUpdate(find),
	})
}

// applyUpdate has the running guest's interface that find tells follow its new
// definition, or go back to the old one.
func (d *Domain) applyUpdate(find func(*domxml.Definition) (domxml.Interface, error)) func(context.Context, Guest, *domxml.Definition) error {
	var was, next domxml.Interface
	return applied(d, plugOf, func(ctx context.Context, plug Plug, before, live *domxml.Definition) (err error) {
		if was, err = find(before); err != nil {
			return err
		}
		if next, err = live.ByAlias(was.Alias); err != nil {
			return err
		}
		if err := checkUpdate(was, next); err != nil {
			return err
		}
		return plug.UpdateInterface(ctx, was, next)
	}, func(ctx context.Context, plug Plug, _ *domxml.Definition) error {
		return plug.UpdateInterface(ctx, next, was)
	})
}

// applied makes an Edit's Apply of what is done to the running guest and of how
// that is taken back when the config could not be kept. plugOf is how the guest
// is changed; before is its definition until then.
func applied[P any](d *Domain, plugOf func(Guest) (P, error),
	do func(ctx context.Context, plug P, before, live *domxml.Definition) error,
	undo func(ctx context.Context, plug P, before *domxml.Definition) error,
) func(context.Context, Guest, *domxml.Definition) error {
	return func(ctx context.Context, guest Guest, live *domxml.Definition) error {
		plug, err := plugOf(guest)
		if err != nil {
			return err
		}
		before := d.View().Live
		if live == before {
			return undo(ctx, plug, before)
		}
		return do(ctx, plug, before, live)
	}
}

// checkUpdate refuses what cannot change while the guest runs; the texts are
// libvirt's (src/qemu/qemu_hotplug.c, qemuDomainChangeNet).
func checkUpdate(was, next domxml.Interface) error {
	refuse := func(format string, args ...any) error {
		return virerr.New(libvirt.ErrOperationUnsupported, format, args...)
	}
	switch {
	case was.Model != next.Model:
		return refuse("cannot modify network device model from %s to %s", orNull(was.Model), orNull(next.Model))
	case was.Target != next.Target || was.Unmanaged != next.Unmanaged:
		return refuse("cannot modify network device tap name")
	case was.MTU != next.MTU:
		return refuse("cannot modify MTU")
	case next.Type == domxml.InterfaceVHostUser || was.Type == domxml.InterfaceVHostUser:
		return refuse("unable to change config on 'vhostuser' network type")
	}
	return nil
}

func orNull(s string) string {
	if s == "" {
		return "(null)"
	}
	return s
}

// checked lets through what this host's kernels can do.
func (d *Domain) checked(ctx context.Context) func(*domxml.Definition, error) (*domxml.Definition, error) {
	return func(def *domxml.Definition, err error) (*domxml.Definition, error) {
		if err != nil {
			return nil, err
		}
		return def, d.list.machine.Check(ctx, def)
	}
}
