package tap

import (
	"net/netip"

	libvirt "github.com/digitalocean/go-libvirt"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"virtumld/internal/virerr"
)

// Neighbour is an address that the host has seen a device use.
type Neighbour struct {
	MAC     string
	Address netip.Addr
}

// Neighbours are the host's (ip-neighbour(8)), on all of its devices: behind a
// bridge it is the bridge that knows them. The error is a *virerr.Error.
func Neighbours() ([]Neighbour, error) {
	list, err := netlink.NeighList(0, netlink.FAMILY_ALL)
	if err != nil {
		return nil, virerr.In(virerr.None, libvirt.ErrSystemError, "cannot list the host's neighbours: %w", err)
	}
	const unknown = unix.NUD_NONE | unix.NUD_INCOMPLETE | unix.NUD_FAILED | unix.NUD_NOARP
	var known []Neighbour
	for _, n := range list {
		address, ok := netip.AddrFromSlice(n.IP)
		if ok && len(n.HardwareAddr) == 6 && n.State&^unknown != 0 {
			known = append(known, Neighbour{MAC: n.HardwareAddr.String(), Address: address.Unmap()})
		}
	}
	return known, nil
}
