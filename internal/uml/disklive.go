package uml

import (
	"context"
	"errors"
	"strings"

	libvirt "github.com/digitalocean/go-libvirt"
	"golang.org/x/sys/unix"

	"virtumld/internal/domxml"
	"virtumld/internal/supervisor"
	"virtumld/internal/uml/cmdline"
	"virtumld/internal/virerr"
)

// AttachDisk gives the running guest another disk: first its files, then the
// device.
func (g *guest) AttachDisk(ctx context.Context, disk domxml.Disk) error {
	if err := g.awaitBoot(ctx); err != nil {
		return err
	}
	disk, err := g.machine.resolveDisk(ctx, disk)
	if err != nil {
		return err
	}
	prepared, err := prepareDisks([]domxml.Disk{disk})
	if err != nil {
		return err
	}
	if err := g.plugDisk(ctx, disk, prepared); err != nil {
		return errors.Join(err, prepared.discard())
	}
	return nil
}

// resolveDisk is the disk with its path. What there is must be a disk: a start
// tells this by itself.
func (m *Machine) resolveDisk(ctx context.Context, disk domxml.Disk) (domxml.Disk, error) {
	if disk.Volume != "" {
		path, err := m.Volumes.VolumePath(ctx, disk.Pool, disk.Volume)
		if err != nil {
			return disk, err
		}
		disk.Path = path
	}
	if disk.COW {
		return disk, nil // looked at, or made, by prepareDisks
	}
	i, err := openImage(disk.Path)
	if err != nil {
		return disk, virerr.New(libvirt.ErrSystemError, "<disk> %s: cannot open '%s': %w", disk.Target, disk.Path, reason(err))
	}
	i.Close()
	return disk, nil
}

func (g *guest) plugDisk(ctx context.Context, disk domxml.Disk, prepared *preparedDisks) error {
	caps, err := g.machine.Kernels.Probe(ctx, g.kernel)
	if err != nil {
		return err
	}
	made, err := cmdline.Disk(disk, caps, prepared.backing[disk.Unit])
	if err != nil {
		return err
	}
	made.Files = g.machine.owned(made.Files)
	if disk.Unit == 0 {
		if err := g.unplug(ctx, cmdline.NoDisk().Unit); err != nil {
			return err
		}
	}
	if err := g.openDisk(ctx, made); err != nil {
		return errors.Join(err, g.restoreUnit(ctx, disk.Unit))
	}
	return nil
}

// openDisk has the guest's kernel open a disk, and leaves nothing if it does
// not.
func (g *guest) openDisk(ctx context.Context, disk supervisor.Disk) error {
	if err := g.handle.OpenDisk(ctx, disk); err != nil {
		return err
	}
	facts := g.handle.Facts()
	setting := strings.Trim(strings.ReplaceAll(disk.Arg, supervisor.Root, facts.Root()), `"`)
	if err := g.console.SetConfig(ctx, setting); err != nil {
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoLimit)
		defer cancel()
		return errors.Join(asVirerr(err), g.handle.CloseDisk(undo, disk.Unit))
	}
	return nil
}

// DetachDisk takes a disk away that the guest does not have open.
func (g *guest) DetachDisk(ctx context.Context, disk domxml.Disk) error {
	if err := g.awaitBoot(ctx); err != nil {
		return err
	}
	if err := g.unplug(ctx, disk.Unit); err != nil {
		return err
	}
	return errors.Join(g.handle.CloseDisk(ctx, disk.Unit), g.restoreUnit(ctx, disk.Unit))
}

// unplug takes a unit away from the kernel. Every kernel of ours has a unit 0
// that it was given; without, kernel 6.1 does not survive its removal.
func (g *guest) unplug(ctx context.Context, unit int) error {
	device := cmdline.DiskName(unit)
	err := g.console.Remove(ctx, device)
	switch {
	case errors.Is(err, unix.EBUSY):
		return virerr.New(libvirt.ErrOperationFailed,
			"disk %s is in use in the guest; unmount it there first, or end what else has it open: %w", device, err)
	case err != nil && !errors.Is(err, unix.ENODEV):
		return asVirerr(err)
	}
	return nil
}

// restoreUnit gives a kernel without a unit 0 the empty one again.
func (g *guest) restoreUnit(ctx context.Context, unit int) error {
	if none := cmdline.NoDisk(); unit == none.Unit {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoLimit)
		defer cancel()
		return g.openDisk(ctx, none)
	}
	return nil
}
