package supervisor

import (
	"os"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/supervisor/vhost"
	"virtumld/internal/virerr"
)

// VirtioDevice is a virtio network device of a guest, with its other half
// behind a vhost-user socket.
type VirtioDevice = vhost.Device

// GuestVirtio is the path of the socket of a virtio device, as the guest sees
// it below Root.
func GuestVirtio(device string) string { return GuestUMLDir + vhost.Socket(device) }

// openVirtio connects to the back ends of the guest's virtio devices.
func (g *guest) openVirtio() error {
	user := User{UID: os.Geteuid(), GID: os.Getegid()}
	if g.spec.User != nil {
		user = *g.spec.User
	}
	for _, device := range g.spec.Virtio {
		relay, err := vhost.Open(device, vhost.Options{Dir: g.spec.uml(), UID: user.UID, GID: user.GID, Log: g.log})
		if err != nil {
			return virerr.New(libvirt.ErrOperationFailed, "<interface> %s: %w", device.MAC, err)
		}
		g.held.virtio = append(g.held.virtio, relay)
	}
	return nil
}

func (g *guest) closeVirtio() {
	for _, relay := range g.held.virtio {
		relay.Close()
	}
	g.held.virtio = nil
}
