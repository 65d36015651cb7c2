package domain

import (
	"context"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/virerr"
)

// DiskInfo tells the sizes of a disk of the running guest, else of the config.
// name is the disk's target or the path of its source.
func (d *Domain) DiskInfo(ctx context.Context, name string) (DiskInfo, error) {
	v := d.View()
	def := v.Definition()
	if def == nil {
		return DiskInfo{}, virerr.New(libvirt.ErrNoDomain, "no domain with matching uuid '%s' (%s)", v.UUID, v.Name)
	}
	return d.list.machine.DiskInfo(ctx, def, name)
}
