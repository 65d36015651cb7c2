package driver

import (
	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/domain"
	"virtumld/internal/virerr"
)

// errGone is for a domain that vanished between look-up and use.
func errGone(v *domain.View) error {
	return virerr.New(libvirt.ErrNoDomain, "no domain with matching uuid '%s' (%s)", v.UUID, v.Name)
}
