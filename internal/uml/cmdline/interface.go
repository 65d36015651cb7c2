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

// interfaces gives each <interface> a device of the vector driver, or of
// virtio.
func (b *builder) interfaces() error {
	units := make(map[int]bool)
	for _, n := range b.def.Interfaces {
		if units[n.Unit] {
			return unsupported("<interface> %s: there are two of the unit %s", n.MAC, n.Device())
		}
		units[n.Unit] = true
		if n.Type == domxml.InterfaceVHostUser {
			if err := b.virtio(n); err != nil {
				return err
			}
			b.line.Devices = append(b.line.Devices, "")
			continue
		}
		device, err := Device(n, b.caps)
		if err != nil {
			return err
		}
		b.line.Devices = append(b.line.Devices, device)
	}
	return nil
}

// virtioNet is the number of virtio's network devices (virtio 1.2, chapter 5).
const virtioNet = "1"

// virtio gives an <interface> of type vhostuser a device whose other half is
// the process behind a socket, to which the kernel connects when it boots
// (arch/um/drivers/virtio_uml.c) by way of its supervisor. The guest needs the
// driver virtio_net.
func (b *builder) virtio(n domxml.Interface) error {
	if !b.caps.VirtioUML {
		return unsupported("<interface> %s: the kernel %s has no devices behind vhost-user sockets (CONFIG_VIRTIO_UML)", n.MAC, b.caps.Path)
	}
	device := n.Device()
	b.line.Virtio = append(b.line.Virtio, supervisor.VirtioDevice{Name: device, Backend: n.Source, MAC: n.MAC})
	b.arg("virtio_uml.device=", supervisor.Root, supervisor.GuestVirtio(device), ":", virtioNet)
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
	case n.MTU != 0 && (n.MTU < minMTU || n.MTU > maxMTU):
		return "", unsupported("<interface> %s: <mtu size='%d'/> is not between %d and %d", n.MAC, n.MTU, minMTU, maxMTU)
	}
	device := fmt.Sprintf("transport=bess,dst=%s%s,depth=128,gro=1,mac=%s", supervisor.Root, supervisor.GuestInterface(n.Unit), n.MAC)
	if n.MTU != 0 {
		device += fmt.Sprintf(",mtu=%d", n.MTU)
	}
	return device, nil
}
