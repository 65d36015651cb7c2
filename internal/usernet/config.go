// Package usernet is the gateway of a network that lives in user space: a
// TCP/IP stack (gVisor's) that answers ARP, ICMP, DHCP and DNS, passes the
// guests' connections on through sockets of the host (NAT), and forwards
// ports of the host to guests. It is joined to a switch by a link that carries
// Ethernet frames. It knows nothing of libvirt or of guests' processes.
//
// Nothing of it reaches the host's loopback addresses on a guest's behalf.
//
// It is made of gVisor's stack itself, not of github.com/containers/
// gvisor-tap-vsock, which is too: the forwarders of that one (v0.8.9) refuse
// link-local destinations only, take ten connection attempts at a time from
// all guests together and bound nothing else, and its link hands the stack one
// packet at a time without segmentation offload.
package usernet

import (
	"net/netip"

	"virtumld/internal/usernet/dhcp"
	"virtumld/internal/usernet/dns"
)

// Config is a gateway's settings.
type Config struct {
	// Name is the network's, for log texts.
	Name string
	// MAC is the gateway's own.
	MAC string
	// MTU is the largest IP packet in bytes.
	MTU int
	// Subnets are the networks in which the gateway has an address.
	Subnets []Subnet
	// NAT passes the guests' connections on to the host's networks.
	NAT bool
	// DNS is the name service; nil for none.
	DNS *DNS
	// Forwards are ports of the host that lead to guests.
	Forwards []Forward
	// LeaseFile keeps the DHCP leases over restarts; "" keeps none.
	LeaseFile string
	// Domain is the DNS domain of the guests, "" for none.
	Domain string
}

// The settings of the DHCP and name service are those of the packages that
// serve them.
type (
	// Subnet is one <ip> of a network, DHCP what is handed out there.
	Subnet = dhcp.Subnet
	DHCP   = dhcp.Settings
	Range  = dhcp.Range
	Host   = dhcp.Host
	// Lease is an address that a guest has.
	Lease = dhcp.Lease
	// DNS is a name service.
	DNS          = dns.Settings
	DNSHost      = dns.Host
	DNSText      = dns.Text
	DNSService   = dns.Service
	DNSForwarder = dns.Forwarder
)

// Forward leads connections to a port of the host to a guest.
type Forward struct {
	// Protocol is "tcp" or "udp".
	Protocol string
	// Listen is where the host listens; an unspecified address is all.
	Listen netip.AddrPort
	// Device limits it to one of the host's interfaces; "" is any.
	Device string
	// Target is the guest's address and port. An unspecified address is
	// the one guest of a private network, whatever address it has.
	Target netip.AddrPort
}
