// Package usernet is the gateway of a network that lives in user space: a
// TCP/IP stack (gVisor's) that answers ARP, ICMP, DHCP and DNS, passes the
// guests' connections on through sockets of the host (NAT), and forwards
// ports of the host to guests. It is joined to a switch by a link that carries
// Ethernet frames. It knows nothing of libvirt or of guests' processes.
//
// Nothing of it reaches the host's loopback addresses on a guest's behalf.
package usernet

import (
	"net/netip"
	"time"
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

// Subnet is one <ip> of a network.
type Subnet struct {
	// Gateway is the gateway's address with the length of the prefix.
	Gateway netip.Prefix
	// DHCP is nil where addresses are given by hand. For IPv6 it is
	// DHCPv6; router advertisements are sent in any case.
	DHCP *DHCP
}

// DHCP is what a DHCP server hands out.
type DHCP struct {
	Ranges []Range
	Hosts  []Host
	// LeaseTime is how long a lease is good for; 0 means an hour.
	LeaseTime time.Duration
	// NoRouter leaves the gateway out of what guests are told: there is
	// no way out of an isolated network.
	NoRouter bool
	// BootFile and BootServer are what a guest may boot from.
	BootFile   string
	BootServer string
}

// Range is a range of addresses, both ends included.
type Range struct {
	First, Last netip.Addr
	// LeaseTime is the range's own, or 0.
	LeaseTime time.Duration
}

// Host is an address that is kept for one guest.
type Host struct {
	// MAC or ID (of DHCPv6, or a client id) tells the guest; Name is its
	// host name, which alone tells it too.
	MAC, ID, Name string
	Address       netip.Addr
	LeaseTime     time.Duration
}

// DNS is a name service.
type DNS struct {
	// Hosts are names with their addresses, TXT and SRV the other records.
	Hosts []DNSHost
	TXT   []DNSText
	SRV   []DNSService
	// Forwarders answer what is not known here; with none the host's own
	// resolvers do. LocalOnly asks nobody.
	Forwarders []DNSForwarder
	LocalOnly  bool
}

// DNSHost gives an address to names.
type DNSHost struct {
	Address netip.Addr
	Names   []string
}

// DNSText is a TXT record.
type DNSText struct{ Name, Value string }

// DNSService is a SRV record.
type DNSService struct {
	Service, Protocol, Domain, Target string
	Port, Priority, Weight            uint16
}

// DNSForwarder is a resolver, for one domain or ("") for all.
type DNSForwarder struct {
	Domain  string
	Address netip.AddrPort
}

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

// Lease is an address that a guest has.
type Lease struct {
	MAC      string
	Address  netip.Addr
	Prefix   int
	Hostname string
	// ClientID is the client's id in hex, bytes parted by colons; "" for none.
	ClientID string
	IAID     string
	Expires  time.Time
}
