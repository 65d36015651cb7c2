package driver

import (
	"context"
	"math"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/domain"
	"virtumld/internal/virerr"
)

// DomainGetBlockInfo tells a disk's capacity, which is what the guest sees,
// the bytes that its image takes of the host (allocation), and the image's
// length (physical).
func (c *Conn) DomainGetBlockInfo(ctx context.Context, a *libvirt.DomainGetBlockInfoArgs) (*libvirt.DomainGetBlockInfoRet, error) {
	if err := checkFlags(a.Flags, 0, "virDomainGetBlockInfo"); err != nil {
		return nil, err
	}
	d, err := c.find(a.Dom)
	if err != nil {
		return nil, err
	}
	info, err := d.DiskInfo(ctx, a.Path)
	if err != nil {
		return nil, err
	}
	return &libvirt.DomainGetBlockInfoRet{Allocation: info.Allocation, Capacity: info.Capacity, Physical: info.Physical}, nil
}

// DomainBlockResize refuses: libvirt's API resizes disks of running guests
// only, and ubd asks for a disk's size but once, when it is plugged in. The
// refusals before that are those of libvirt's QEMU driver.
func (c *Conn) DomainBlockResize(_ context.Context, a *libvirt.DomainBlockResizeArgs) error {
	const known = libvirt.DomainBlockResizeBytes | libvirt.DomainBlockResizeCapacity
	if err := checkFlags(a.Flags, known, "virDomainBlockResize"); err != nil {
		return err
	}
	const inKiB = math.MaxUint64 / 1024
	if a.Flags&libvirt.DomainBlockResizeBytes == 0 && a.Size > inKiB {
		return virerr.New(libvirt.ErrOverflow, "size must be less than %d", uint64(inKiB))
	}
	v, err := c.view(a.Dom)
	if err != nil {
		return err
	}
	if v.Live == nil {
		return domain.ErrNotRunning()
	}
	disk, found := v.Live.Disk(a.Disk)
	switch {
	case !found:
		return virerr.New(libvirt.ErrInvalidArg, "disk '%s' was not found in the domain config", a.Disk)
	case disk.ReadOnly:
		return virerr.New(libvirt.ErrOperationUnsupported, "can't resize empty or readonly disk '%s'", disk.Target)
	default:
		return virerr.New(libvirt.ErrOperationUnsupported,
			"disk '%s': a running User Mode Linux guest cannot be given a disk of another size; "+
				"shut it down, resize its image (virsh vol-resize), and start it again", disk.Target)
	}
}
