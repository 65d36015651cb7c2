package uml

import (
	"os"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/domxml"
	"virtumld/internal/virerr"
)

// checkVHostUser refuses an interface that its guest would boot without: a
// kernel whose socket is not there only says so in its log.
func checkVHostUser(n domxml.Interface) error {
	info, err := os.Stat(n.Source)
	if err != nil {
		return virerr.New(libvirt.ErrOperationFailed,
			"<interface> %s: cannot use the vhost-user socket '%s'; start what listens there before the guest: %w", n.MAC, n.Source, err)
	}
	if info.Mode().Type() != os.ModeSocket {
		return virerr.New(libvirt.ErrOperationFailed, "<interface> %s: '%s' is not a socket", n.MAC, n.Source)
	}
	return nil
}

// refuseVHostUser refuses what no running guest's virtio device knows. done
// says what was to be done to it.
func refuseVHostUser(n domxml.Interface, done string) error {
	if n.Type != domxml.InterfaceVHostUser {
		return nil
	}
	return virerr.New(libvirt.ErrOperationUnsupported,
		"an interface of type vhostuser cannot be %s while the guest runs: its kernel has it from its boot on; change the config instead (--config)", done)
}
