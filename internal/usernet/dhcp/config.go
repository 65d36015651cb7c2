// Package dhcp gives addresses to guests: DHCPv4 (RFC 2131) and DHCPv6 (RFC
// 8415) as pure handlers, from a packet and a time to a reply, over one table
// of leases that is kept in a file. It knows nothing of sockets, of the stack
// that packets come through, or of guests' processes.
package dhcp

import (
	"log/slog"
	"net"
	"net/netip"
	"time"
)

// Config is a server's settings.
type Config struct {
	// Name is the network's, for log texts.
	Name string
	// MAC is the gateway's own; the server's DHCPv6 identity is made of it.
	MAC net.HardwareAddr
	// MTU is told to guests, in bytes; 0 tells nothing.
	MTU int
	// Domain is the DNS domain of the guests, "" for none.
	Domain string
	// Subnets are the networks, those without DHCP included. The server
	// answers as the gateway of the subnet that an address is from.
	Subnets []Subnet
	// DNS says that the gateways are the guests' name servers.
	DNS bool
	// LeaseFile keeps the leases over restarts; "" keeps none.
	LeaseFile string
	// Log takes what the host's administrator should know; nil is slog's
	// default.
	Log *slog.Logger
}

// Subnet is one <ip> of a network.
type Subnet struct {
	// Gateway is the gateway's address with the length of the prefix.
	Gateway netip.Prefix
	// DHCP is nil where addresses are given by hand. For IPv6 it is
	// DHCPv6; router advertisements are sent in any case.
	DHCP *Settings
}

// Settings are what a DHCP server hands out.
type Settings struct {
	Ranges []Range
	Hosts  []Host
	// LeaseTime is how long a lease is good for; 0 means an hour, and
	// Infinite for ever.
	LeaseTime time.Duration
	// NoRouter leaves the gateway out of what guests are told: there is
	// no way out of an isolated network.
	NoRouter bool
	// BootFile and BootServer are what a guest may boot from.
	BootFile   string
	BootServer string
}

// Infinite is the time of a lease that never ends. Its Expires is the zero
// time.
const Infinite time.Duration = 1<<63 - 1

// Range is a range of addresses, both ends included.
type Range struct {
	First, Last netip.Addr
	// LeaseTime is the range's own, or 0.
	LeaseTime time.Duration
}

// Host is an address that is kept for one guest.
type Host struct {
	// MAC or ID (the DUID of DHCPv6, or a client id, in hex with colons)
	// tells the guest; Name is its host name, which alone tells it too.
	MAC, ID, Name string
	// Address is invalid where only the name is given.
	Address   netip.Addr
	LeaseTime time.Duration
}

// Lease is an address that a guest has.
type Lease struct {
	MAC      string
	Address  netip.Addr
	Prefix   int
	Hostname string
	// ClientID is the client's id (for IPv6 its DUID) in hex, bytes parted
	// by colons; "" for none.
	ClientID string
	// IAID is that of the client's DHCPv6 association, in decimal as
	// libvirt writes it; "" for IPv4.
	IAID string
	// Port is where the guest is plugged in, "" where that is not known.
	Port string `json:",omitempty"`
	// Expires is zero for a lease that never ends.
	Expires time.Time
}

// Reply is a packet to a client.
type Reply struct {
	Packet []byte
	// From is the gateway's address, which the packet must come from. For
	// IPv6 it is invalid: any address of the gateway on the link will do.
	From netip.Addr
	// To is where it goes: the limited broadcast address, or the client's
	// own.
	To netip.AddrPort
	// MAC is the client's. A client that has no address yet does not
	// answer ARP, so a unicast packet must be sent to it. It is nil for
	// broadcasts and for IPv6.
	MAC net.HardwareAddr
}
