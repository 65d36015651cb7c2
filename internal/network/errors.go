package network

import (
	libvirt "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"

	"virtumld/internal/virerr"
)

func failf(code libvirt.ErrorNumber, format string, args ...any) error {
	return virerr.In(virerr.Network, code, format, args...)
}

// errNoNetwork is libvirt's text for what a client asks for: by name, or by
// uuid, with the name beside it when the client has had one.
func errNoNetwork(s Spec) error {
	switch {
	case s.UUID == uuid.Nil:
		return failf(libvirt.ErrNoNetwork, "no network with matching name '%s'", s.Name)
	case s.Name == "":
		return failf(libvirt.ErrNoNetwork, "no network with matching uuid '%s'", s.UUID)
	}
	return failf(libvirt.ErrNoNetwork, "no network with matching uuid '%s' (%s)", s.UUID, s.Name)
}

func errInactive(name string) error {
	return failf(libvirt.ErrOperationInvalid, "network '%s' is not active", name)
}
