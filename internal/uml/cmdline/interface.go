package cmdline

import (
	"fmt"

	"virtumld/internal/domxml"
	"virtumld/internal/supervisor"
	"virtumld/internal/uml/kernel"
)

// What the vector device takes as MTU, in bytes (ETH_MIN_MTU would be less:
// arch/um/drivers/vector_kern.c, get_mtu).
const (
	minMTU = 576
	maxMTU = 65534
)

// interfaces gives each <interface> a device of the vector driver.
func (b *builder) interfaces() error {
	units := make(map[int]bool)
	for _, n := range b.def.Interfaces {
		if units[n.Unit] {
			return unsupported("<interface> %s: there are two of the unit vec%d", n.MAC, n.Unit)
		}
		units[n.Unit] = true
		device, err := Device(n, b.caps)
		if err != nil {
			return err
		}
		b.line.Devices = append(b.line.Devices, device)
	}
	return nil
}

// Device is what a kernel of the given capabilities is told of an interface,
// after "vecN:". The supervisor listens at the path in it.
//
// The transport bess is a SOCK_SEQPACKET socket to which the kernel connects
// when the interface is taken up, with one Ethernet frame a packet.
func Device(n domxml.Interface, caps *kernel.Caps) (string, error) {
	switch {
	case !caps.VecNet:
		return "", unsupported("<interface> %s: the kernel %s has no vector network devices (CONFIG_UML_NET_VECTOR)", n.MAC, caps.Path)
	case n.Type == domxml.InterfaceVHostUser:
		return "", unsupported("<interface> %s: type vhostuser is not supported; use user, network, bridge, ethernet, direct, mcast, udp, server or client", n.MAC)
	case n.MTU != 0 && (n.MTU < minMTU || n.MTU > maxMTU):
		return "", unsupported("<interface> %s: <mtu size='%d'/> is not between %d and %d", n.MAC, n.MTU, minMTU, maxMTU)
	}
	device := fmt.Sprintf("transport=bess,dst=%s%s,depth=128,gro=1,mac=%s", supervisor.Root, supervisor.GuestInterface(n.Unit), n.MAC)
	if n.MTU != 0 {
		device += fmt.Sprintf(",mtu=%d", n.MTU)
	}
	return device, nil
}
