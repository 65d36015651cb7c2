package domain

import (
	"context"
	"errors"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/domxml"
	"virtumld/internal/virerr"
)

// DiskPlug is a Guest whose disks can be changed while it runs: any but one
// that somebody started by hand.
type DiskPlug interface {
	// AttachDisk gives the guest a disk. A failure leaves nothing.
	AttachDisk(ctx context.Context, disk domxml.Disk) error
	// DetachDisk takes a disk away. One that the guest has open is refused
	// with ErrOperationFailed.
	DetachDisk(ctx context.Context, disk domxml.Disk) error
}

func diskPlugOf(guest Guest) (DiskPlug, error) {
	if plug, ok := guest.(DiskPlug); ok {
		return plug, nil
	}
	return nil, virerr.New(libvirt.ErrOperationUnsupported,
		"the disks of a guest that was started by hand cannot be changed while it runs")
}

// AttachDisk adds a disk to the sides that t names.
func (d *Domain) AttachDisk(ctx context.Context, dev *domxml.Device, t Target) error {
	var added domxml.Disk
	return d.Edit(ctx, Edit{
		Job:    "attach disk",
		Target: t,
		Change: func(def *domxml.Definition) (*domxml.Definition, error) {
			return d.checked(ctx)(def.WithDisk(dev))
		},
		Apply: applied(d, diskPlugOf, func(ctx context.Context, plug DiskPlug, _, live *domxml.Definition) error {
			added, _ = live.DiskByUnit(dev.DiskUnit()) // which Change has put there
			return plug.AttachDisk(ctx, added)
		}, func(ctx context.Context, plug DiskPlug, _ *domxml.Definition) error {
			return plug.DetachDisk(ctx, added)
		}),
		TellLive: func() []Change { return []Change{{Device: &DeviceChange{Alias: added.Alias, Added: true}}} },
	})
}

// DetachDisk takes a disk away from the sides that t names. find tells it in
// each side's definition.
func (d *Domain) DetachDisk(ctx context.Context, find func(*domxml.Definition) (domxml.Disk, error), t Target) error {
	var gone domxml.Disk
	return d.Edit(ctx, Edit{
		Job:    "detach disk",
		Target: t,
		Change: func(def *domxml.Definition) (*domxml.Definition, error) {
			disk, err := find(def)
			if err != nil {
				return nil, err
			}
			return def.WithoutDisk(disk.Unit)
		},
		Apply: applied(d, diskPlugOf, func(ctx context.Context, plug DiskPlug, before, _ *domxml.Definition) (err error) {
			if gone, err = find(before); err != nil {
				return err
			}
			return plug.DetachDisk(ctx, gone)
		}, func(ctx context.Context, plug DiskPlug, _ *domxml.Definition) error {
			return plug.AttachDisk(ctx, gone)
		}),
		TellLive: func() []Change { return []Change{{Device: &DeviceChange{Alias: gone.Alias}}} },
	})
}

// UpdateDisk changes the disk that dev means to what dev says. A running guest
// loses the old one, which it must not have open, and gets the new one.
func (d *Domain) UpdateDisk(ctx context.Context, dev *domxml.Device, t Target) error {
	return d.Edit(ctx, Edit{
		Job:    "update disk",
		Target: t,
		Change: func(def *domxml.Definition) (*domxml.Definition, error) {
			return d.checked(ctx)(def.WithDiskUpdate(dev))
		},
		Apply: d.exchangeDisk(dev),
	})
}

// exchangeDisk has the guest's disk follow its new definition, or go back to the
// old one.
func (d *Domain) exchangeDisk(dev *domxml.Device) func(context.Context, Guest, *domxml.Definition) error {
	var was, next domxml.Disk
	return applied(d, diskPlugOf, func(ctx context.Context, plug DiskPlug, before, live *domxml.Definition) (err error) {
		if was, err = before.MatchDisk(dev); err != nil {
			return err
		}
		if next, err = live.MatchDisk(dev); err != nil {
			return err
		}
		return exchange(ctx, plug, was, next)
	}, func(ctx context.Context, plug DiskPlug, _ *domxml.Definition) error {
		return exchange(ctx, plug, next, was)
	})
}

func exchange(ctx context.Context, plug DiskPlug, was, next domxml.Disk) error {
	if was == next {
		return nil
	}
	if err := plug.DetachDisk(ctx, was); err != nil {
		return err
	}
	if err := plug.AttachDisk(ctx, next); err != nil {
		return errors.Join(err, plug.AttachDisk(ctx, was))
	}
	return nil
}
