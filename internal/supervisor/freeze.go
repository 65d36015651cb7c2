package supervisor

import (
	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/virerr"
)

// freeze stops every process of the guest.
func (g *guest) freeze() error {
	if g.kernel == nil || g.state.Facts.Held {
		return virerr.New(libvirt.ErrOperationInvalid, "the guest has no running kernel")
	}
	if g.state.Facts.Frozen {
		return nil
	}
	if err := g.kernel.Freeze(); err != nil {
		return virerr.New(libvirt.ErrOperationFailed, "cannot stop the guest: %w", err)
	}
	g.state.Facts.Frozen = true
	g.save()
	return nil
}

// thaw lets a frozen guest go on.
func (g *guest) thaw() error {
	if g.kernel == nil || !g.state.Facts.Frozen {
		return nil
	}
	if err := g.kernel.Thaw(); err != nil {
		return virerr.New(libvirt.ErrOperationFailed, "cannot let the guest go on: %w", err)
	}
	g.state.Facts.Frozen = false
	g.save()
	return nil
}
