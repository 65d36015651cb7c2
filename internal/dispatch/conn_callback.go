package dispatch

import (
	"context"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/virerr"
)

// registerCloseCallback notes that the client wants to hear when the
// hypervisor connection breaks. The driver is in this very process, so that
// never happens; the client sees the socket's end.
func (c *client) registerCloseCallback(context.Context) error {
	if !c.opened {
		return errNotOpen()
	}
	if c.closeRegistered {
		return virerr.New(libvirt.ErrOperationInvalid, "A close callback is already registered")
	}
	c.closeRegistered = true
	return nil
}

// unregisterCloseCallback undoes registerCloseCallback.
func (c *client) unregisterCloseCallback(context.Context) error {
	if !c.opened {
		return errNotOpen()
	}
	if !c.closeRegistered {
		return virerr.New(libvirt.ErrOperationInvalid, "A close callback is not registered")
	}
	c.closeRegistered = false
	return nil
}
