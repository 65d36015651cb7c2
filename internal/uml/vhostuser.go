package uml

import (
	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/domxml"
	"virtumld/internal/virerr"
)

// refuseVHostUser refuses what no running guest's virtio device knows. done
// says what was to be done to it.
func refuseVHostUser(n domxml.Interface, done string) error {
	if n.Type != domxml.InterfaceVHostUser {
		return nil
	}
	return virerr.New(libvirt.ErrOperationUnsupported,
		"an interface of type vhostuser cannot be %s while the guest runs: its kernel has it from its boot on; change the config instead (--config)", done)
}
