package native

import (
	"path"
	"strconv"
	"strings"

	lx "libvirt.org/go/libvirtxml"
)

// vector is vecN:transport=T,KEY=VALUE…
func (b *builder) vector(word string) error {
	name, list, _ := strings.Cut(word, ":")
	options := map[string]string{}
	for option := range strings.SplitSeq(list, ",") {
		key, value, assigned := strings.Cut(option, "=")
		if !assigned {
			return invalid("the word '%s': '%s' is no KEY=VALUE", word, option)
		}
		options[key] = value
	}
	n := newInterface(name, options["mac"])
	switch transport := options["transport"]; transport {
	case "tap", "hybrid":
		if options["ifname"] == "" {
			return invalid("the word '%s' names no ifname=", word)
		}
		onTap(n, options["ifname"])
	case "raw":
		n.Source = &lx.DomainInterfaceSource{Direct: &lx.DomainInterfaceSourceDirect{Dev: options["ifname"], Mode: "bridge"}}
	case "fd", "bess":
		// A program at the other end of the socket serves the guest. Here
		// that is what type user does.
		n.Source = &lx.DomainInterfaceSource{User: &lx.DomainInterfaceSourceUser{}}
	default:
		return unsupported("the word '%s': transport '%s' has no counterpart, use tap, raw, fd or bess; tunnels are made on the host", word, transport)
	}
	if mtu := options["mtu"]; mtu != "" {
		size, err := strconv.ParseUint(mtu, 0, 16)
		if err != nil {
			return invalid("the word '%s': mtu=%s is no size", word, mtu)
		}
		n.MTU = &lx.DomainInterfaceMTU{Size: uint(size)}
	}
	b.addInterface(*n)
	return nil
}

// virtio is virtio_uml.device=SOCKET:1[:NUMBER], a network device behind a
// vhost-user socket (arch/um/drivers/virtio_uml.c).
func (b *builder) virtio(word, value string) error {
	socket, device, _ := strings.Cut(value, ":")
	kind, _, _ := strings.Cut(device, ":")
	if kind != "1" {
		return unsupported("the word '%s': network devices alone (SOCKET:1) can be had behind vhost-user sockets", word)
	}
	file, err := b.path("the word '"+word+"'", socket)
	if err != nil {
		return err
	}
	b.addInterface(lx.DomainInterface{
		Source: &lx.DomainInterfaceSource{VHostUser: &lx.DomainInterfaceSourceVHostUser{
			Chardev: &lx.DomainChardevSource{UNIX: &lx.DomainChardevSourceUNIX{Path: file, Mode: "client"}},
		}},
	})
	return nil
}

// ethernet is ethN=TRANSPORT,…: the devices of kernels before 6.16. The guest's
// device is a vecN here.
func (b *builder) ethernet(word string) error {
	name, list, _ := strings.Cut(word, "=")
	fields := append(strings.Split(list, ","), "", "", "", "", "")
	vec := "vec" + strings.TrimPrefix(name, "eth")
	switch fields[0] {
	case "tuntap": // tuntap,DEVICE[,MAC[,ADDRESS]]
		if fields[1] == "" {
			return unsupported("the word '%s': a tap without a name would be given an address by uml_net; make the tap beforehand and name it", word)
		}
		n := newInterface(vec, fields[2])
		onTap(n, fields[1])
		b.addInterface(*n)
	case "mcast": // mcast[,MAC[,ADDRESS[,PORT[,TTL]]]]
		return b.multicast(word, vec, fields)
	case "daemon": // daemon[,MAC[,TYPE[,SOCKET[,DATA]]]]
		b.onSwitch(vec, fields[1], fields[3], "/tmp/uml.ctl")
	case "vde": // vde[,SOCKET[,MAC…]]
		b.onSwitch(vec, fields[2], fields[1], "/tmp/vde.ctl")
	case "slirp": // slirp[,MAC[,PROGRAM…]]
		n := newInterface(vec, fields[1])
		n.Source = &lx.DomainInterfaceSource{User: &lx.DomainInterfaceSourceUser{}}
		b.addInterface(*n)
	default:
		return unsupported("the word '%s': transport '%s' has no counterpart, use tuntap, mcast, daemon, vde or slirp", word, fields[0])
	}
	return nil
}

// The multicast group of a kernel that is told of none
// (arch/um/drivers/umcast_kern.c).
const (
	defaultGroup = "239.192.168.1"
	defaultPort  = "1102"
)

func (b *builder) multicast(word, vec string, fields []string) error {
	group, port := fields[2], fields[3]
	if group == "" {
		group = defaultGroup
	}
	if port == "" {
		port = defaultPort
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return invalid("the word '%s': '%s' is no port", word, port)
	}
	n := newInterface(vec, fields[1])
	n.Source = &lx.DomainInterfaceSource{MCast: &lx.DomainInterfaceSourceMCast{Address: group, Port: uint(number)}}
	b.addInterface(*n)
	return nil
}

// onSwitch is a guest at a uml_switch or vde_switch: a virtual network, with
// the name of the switch's socket, is a switch of that kind.
func (b *builder) onSwitch(vec, mac, socket, usual string) {
	if socket == "" {
		socket = usual
	}
	name := strings.TrimSuffix(path.Base(socket), path.Ext(socket))
	n := newInterface(vec, mac)
	n.Source = &lx.DomainInterfaceSource{Network: &lx.DomainInterfaceSourceNetwork{Network: name}}
	b.addInterface(*n)
}

func newInterface(vec, mac string) *lx.DomainInterface {
	n := &lx.DomainInterface{Guest: &lx.DomainInterfaceGuest{Dev: vec}}
	if mac != "" {
		n.MAC = &lx.DomainInterfaceMAC{Address: mac}
	}
	return n
}

// onTap joins n to a tap device that somebody else has made.
func onTap(n *lx.DomainInterface, device string) {
	n.Source = &lx.DomainInterfaceSource{Ethernet: &lx.DomainInterfaceSourceEthernet{}}
	n.Target = &lx.DomainInterfaceTarget{Dev: device, Managed: "no"}
}

func (b *builder) addInterface(n lx.DomainInterface) {
	b.doc.Devices.Interfaces = append(b.doc.Devices.Interfaces, n)
}
