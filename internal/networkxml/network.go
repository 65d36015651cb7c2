// Package networkxml reads, checks, changes and writes libvirt's <network>
// documents: defaults, the sections of virNetworkUpdate, and texts as libvirt
// writes them (src/conf/network_conf.c). It knows no networks that exist and
// no processes.
package networkxml

import (
	"net/netip"

	"github.com/google/uuid"

	"virtumld/internal/domxml"
)

// Yes and No are the values of libvirt's three-state attributes; "" is absent.
const (
	Yes = "yes"
	No  = "no"
)

// Mode is how a network's traffic leaves it, as <forward mode> has it.
type Mode string

// The modes. Isolated networks have no <forward>.
const (
	Isolated    Mode = "none"
	NAT         Mode = "nat"
	Route       Mode = "route"
	Open        Mode = "open"
	Bridged     Mode = "bridge"
	Private     Mode = "private"
	VEPA        Mode = "vepa"
	Passthrough Mode = "passthrough"
	Hostdev     Mode = "hostdev"
)

// Virtual reports whether libvirt makes the network itself, with a bridge and
// addresses, instead of lending one of the host's.
func (m Mode) Virtual() bool {
	return m == Isolated || m == NAT || m == Route || m == Open
}

// Network is a <network> document.
type Network struct {
	Name               string
	UUID               uuid.UUID
	Title, Description string
	// Metadata is the content of <metadata> as it was written, "" without.
	Metadata string
	// Link is what Metadata says of all ports' links.
	Link domxml.Link
	// GuestIPv6 lets guests speak IPv6 with each other without a gateway.
	GuestIPv6           bool
	TrustGuestRxFilters string
	Forward             Forward
	Bridge              Bridge
	// MTU is in bytes, 0 for the default.
	MTU uint
	// MAC is the gateway's address in libvirt's form, "" before Complete.
	MAC       string
	Domain    Domain
	DNS       DNS
	VLAN      *VLAN
	Bandwidth *Bandwidth
	// PortIsolated is <port isolated>.
	PortIsolated string
	IPs          []IP
	Routes       []RouteEntry
	PortGroups   []PortGroup
}

// Forward is <forward>.
type Forward struct {
	Mode    Mode
	Managed bool
	Driver  string
	// NATIPv6 is <nat ipv6>; the others are the ranges of <nat>, with zero
	// addresses and ports where there are none.
	NATIPv6             string
	NATFirst, NATLast   netip.Addr
	PortFirst, PortLast uint
	// PF is the physical function, "" for none; Interfaces the devices by
	// name, of which "dev" is the first.
	PF         string
	Interfaces []string
}

// Bridge is <bridge>. Name may hold a "%d" before Complete.
type Bridge struct {
	Name, Zone string
	STPOff     bool
	// Delay is in seconds.
	Delay    uint64
	MACTable string
}

// Domain is <domain>; without a name there is none.
type Domain struct{ Name, LocalOnly string }

// DNS is <dns>.
type DNS struct {
	Enable, ForwardPlainNames string
	Forwarders                []Forwarder
	TXT                       []Text
	SRV                       []Service
	Hosts                     []DNSHost
}

// Forwarder is a resolver, for all names or those of one domain. Without an
// address the domain's names are not forwarded by the others.
type Forwarder struct {
	Domain  string
	Address netip.Addr
}

// Text is a TXT record.
type Text struct{ Name, Value string }

// Service is a SRV record.
type Service struct {
	Service, Protocol, Domain, Target string
	Port, Priority, Weight            uint
}

// DNSHost gives an address to names.
type DNSHost struct {
	Address netip.Addr
	Names   []string
}

// IP is <ip>.
type IP struct {
	// Family is as written: "", "ipv4" or "ipv6".
	Family  string
	Address netip.Addr
	// Netmask and Prefix are as written: at most one is set.
	Netmask    netip.Addr
	Prefix     uint
	LocalPTR   string
	TFTPRoot   string
	Ranges     []Range
	Hosts      []Host
	BootFile   string
	BootServer netip.Addr
}

// Range is a DHCP range, both ends included.
type Range struct {
	First, Last netip.Addr
	Lease       *Lease
}

// Lease is how long an address is lent; Expiry 0 is for ever.
type Lease struct {
	Expiry uint64
	// Unit is seconds, minutes or hours.
	Unit string
}

// Host is a DHCP host; what is absent is "" or zero.
type Host struct {
	MAC, ID, Name string
	Address       netip.Addr
	Lease         *Lease
}

// RouteEntry is a static <route>.
type RouteEntry struct {
	Family                    string
	Address, Netmask, Gateway netip.Addr
	Prefix                    uint
	HasPrefix                 bool
	Metric                    uint
}

// PortGroup is <portgroup>: settings for the guests that name it.
type PortGroup struct {
	Name                string
	Default             bool
	TrustGuestRxFilters string
	VLAN                *VLAN
	Bandwidth           *Bandwidth
}

// VLAN is <vlan>.
type VLAN struct {
	Trunk bool
	Tags  []uint
	// NativeMode is "", "tagged" or "untagged", of the tag Native.
	NativeMode string
	Native     uint
}

// Bandwidth is <bandwidth>; Inbound is what comes to the guests.
type Bandwidth struct{ Inbound, Outbound *Rate }

// Rate is in libvirt's units: Average and Peak in thousands of bytes a second,
// Burst in KiB; 0 is none.
type Rate struct{ Average, Peak, Burst uint64 }

// PortGroupNamed returns the port group called name, or the default one for "";
// nil when there is none.
func (n *Network) PortGroupNamed(name string) *PortGroup {
	for i := range n.PortGroups {
		g := &n.PortGroups[i]
		if g.Name == name || (name == "" && g.Default) {
			return g
		}
	}
	return nil
}
