package domxml

import (
	"strconv"
	"strings"

	libvirt "github.com/digitalocean/go-libvirt"
	lx "libvirt.org/go/libvirtxml"

	"virtumld/internal/virerr"
)

// FirstVirtio is the unit of the guest's eth0, which is no vector device:
// interfaces of type vhostuser are virtio devices, which the guest numbers in
// the order of its kernel's command line.
const FirstVirtio = MaxInterfaces

// Device is the guest's name of the interface: "vec0", or "eth0" of type
// vhostuser.
func (n Interface) Device() string {
	if n.Type == InterfaceVHostUser {
		return virtioName(n.Unit - FirstVirtio)
	}
	return vecName(n.Unit)
}

// virtioName is the kernel's name of a virtio network device
// (drivers/net/virtio_net.c, by alloc_etherdev).
func virtioName(number int) string { return "eth" + strconv.Itoa(number) }

// virtioUnit is the unit of a device that virtioName has named.
func virtioUnit(dev string) (int, error) {
	number, err := strconv.Atoi(strings.TrimPrefix(dev, "eth"))
	if err != nil {
		return 0, invalid("'%s' is no name of a virtio network device", dev)
	}
	return FirstVirtio + number, nil
}

func isVHostUser(n *lx.DomainInterface) bool { return n.Source != nil && n.Source.VHostUser != nil }

// readVHostUser takes the socket of a vhost-user back end.
func readVHostUser(where string, s *lx.DomainInterfaceSourceVHostUser, n *Interface) error {
	if s.Chardev == nil || s.Chardev.UNIX == nil {
		return virerr.New(libvirt.ErrConfigUnsupported, "%s: <interface type='vhostuser'> needs a <source type='unix' path='...' mode='...'/>", where)
	}
	unix := s.Chardev.UNIX
	n.Source, n.Mode = unix.Path, unix.Mode
	if err := needAttribute("path", unix.Path); err != nil {
		return err
	}
	if err := needAttribute("mode", unix.Mode); err != nil {
		return err
	}
	if unix.Mode != "client" && unix.Mode != "server" {
		return badElement("mode", "source", unix.Mode)
	}
	if unix.Reconnect != nil && unix.Reconnect.Enabled == "yes" {
		if unix.Mode == "server" {
			return virerr.New(libvirt.ErrConfigUnsupported, "'reconnect' attribute unsupported 'server' mode for <interface type='vhostuser'>")
		}
		return unsupported("%s: element <reconnect> is not available: the guest's kernel connects when it boots, and never again", where)
	}
	return checkPath(where, unix.Path)
}

// checkVHostUser refuses what only a switch of ours could do: all of the
// interface is the back end's.
func checkVHostUser(where string, n Interface) error {
	const backend = "with type='vhostuser' it is for the process behind the socket to do"
	if n.Mode == "server" {
		return unsupported("%s: element <source>: mode='server' is not available: a guest's kernel cannot listen; "+
			"have the other side listen, and use mode='client'", where)
	}
	return refuseIn(where, []refusal{
		{"link state='down'", n.Down, backend},
		{"mtu", n.MTU != 0, backend},
		{"bandwidth", n.Inbound != Bandwidth{} || n.Outbound != Bandwidth{}, backend},
	})
}
