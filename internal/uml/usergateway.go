package uml

import (
	"fmt"
	"net/netip"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/domxml"
	"virtumld/internal/usernet"
	"virtumld/internal/virerr"
)

const (
	// userMTU is that of a guest and the gateway that it has for itself, in
	// bytes: as large as passt's and as one may be in slirp4netns. All that
	// leaves the host goes through sockets of it, which cut to size what
	// comes in large packets; a guest's kernel, which has no segmentation
	// offload here, is several times as fast with them.
	userMTU = 65520
	// maxForwards is how many ports of the host one interface may take: each
	// is a socket.
	maxForwards = 1000
	// gatewayHost is the gateway's host number. It and the addresses below
	// are those of QEMU's user network, which libvirt's type user has been.
	gatewayHost = 2
)

var (
	userNet4 = netip.MustParsePrefix("10.0.2.15/24")
	userNet6 = netip.MustParsePrefix("fd00:a:2::15/64")
)

// userGateway is the network of an <interface type='user'>: a gateway to the
// host's networks, with an address for the one guest.
func userGateway(n domxml.Interface) (*usernet.Config, error) {
	c := &usernet.Config{Name: "user", MTU: n.MTU, NAT: true, DNS: &usernet.DNS{}}
	if c.MTU == 0 {
		c.MTU = userMTU
	}
	if n.Source != "" {
		return nil, refused(n, "<source dev='%s'/>: the guest's connections leave the host as its own do; leave the device out", n.Source)
	}
	addresses := [2]netip.Prefix{userNet4, userNet6}
	for _, given := range n.Addresses {
		family := 0
		if given.Addr().Is6() {
			family = 1
		}
		addresses[family] = given
	}
	for _, address := range addresses {
		subnet, err := userSubnet(n, address)
		if err != nil {
			return nil, err
		}
		c.Subnets = append(c.Subnets, subnet)
	}
	c.MAC = gatewayMAC(c.Subnets[0].Gateway.Addr())
	var err error
	c.Forwards, err = forwards(n)
	return c, err
}

// userSubnet gives the guest address, and the gateway one beside it.
func userSubnet(n domxml.Interface, address netip.Prefix) (usernet.Subnet, error) {
	network := address.Masked()
	if address.Addr().BitLen()-address.Bits() < 3 {
		return usernet.Subnet{}, refused(n, "<ip> %s: a network of that prefix has no room for a gateway", address)
	}
	gateway := network.Addr()
	for range gatewayHost {
		gateway = gateway.Next()
	}
	if gateway == address.Addr() {
		gateway = gateway.Next()
	}
	return usernet.Subnet{
		Gateway: netip.PrefixFrom(gateway, address.Bits()),
		DHCP: &usernet.DHCP{
			Ranges: []usernet.Range{{First: address.Addr(), Last: address.Addr()}},
			Hosts:  []usernet.Host{{MAC: n.MAC, Address: address.Addr()}},
		},
	}, nil
}

// gatewayMAC is a locally administered address that is made of the gateway's.
func gatewayMAC(gateway netip.Addr) string {
	ip := gateway.As4()
	return fmt.Sprintf("52:55:%02x:%02x:%02x:%02x", ip[0], ip[1], ip[2], ip[3])
}

// forwards are the <portForward> elements, port by port.
func forwards(n domxml.Interface) ([]usernet.Forward, error) {
	var all []usernet.Forward
	for _, f := range n.Forwards {
		if len(f.Ranges) == 0 {
			return nil, refused(n, "<portForward proto='%s'>: every port of the host is too much; give a <range>", f.Protocol)
		}
		for _, r := range f.Ranges {
			for port := int(r.Start); port <= int(r.End) && !r.Exclude; port++ {
				if excluded(f.Ranges, port) {
					continue
				}
				to := int(r.To) + port - int(r.Start)
				all = append(all, usernet.Forward{
					Protocol: f.Protocol, Device: f.Device,
					Listen: netip.AddrPortFrom(listenAddress(f.Address), uint16(port)),
					Target: netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(to)),
				})
				if to > 65535 || len(all) > maxForwards {
					return nil, refused(n, "<portForward>: more than %d ports, or ports above 65535", maxForwards)
				}
			}
		}
	}
	return all, nil
}

func listenAddress(a netip.Addr) netip.Addr {
	if !a.IsValid() {
		return netip.IPv4Unspecified()
	}
	return a
}

func excluded(ranges []domxml.ForwardRange, port int) bool {
	for _, r := range ranges {
		if r.Exclude && int(r.Start) <= port && port <= int(r.End) {
			return true
		}
	}
	return false
}

func refused(n domxml.Interface, format string, args ...any) error {
	return virerr.In(virerr.UML, libvirt.ErrConfigUnsupported, "<interface> %s: %s", n.MAC, fmt.Sprintf(format, args...))
}
