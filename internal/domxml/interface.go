package domxml

import "net/netip"

// Interface is one <interface>. Device tells its guest device.
type Interface struct {
	Type InterfaceType
	// Source is what it is joined to: the network, the bridge, the lower
	// device of direct, the socket's path of vhostuser, or the host's device
	// through which a user interface goes out ("" for any).
	Source string
	// Target is the host's name for it. It is the user's choice, or in a
	// running guest's definition a generated "vnetN"; "" in a config that
	// leaves it open.
	Target string
	// MAC is the guest's address in lower case.
	MAC string
	// Model is as written, Alias libvirt's name for the device.
	Model, Alias string
	// Unit is the N of the guest's vecN, from 0 on. It stays when others are
	// taken out. Of type vhostuser, whose device is ethN, it is FirstVirtio
	// and N; these are numbered in their order.
	Unit int
	// MTU is in bytes, 0 for the default.
	MTU int
	// Down is <link state='down'/>.
	Down bool
	// Inbound is what comes to the guest, Outbound what it sends.
	Inbound, Outbound Bandwidth
	// Link is what <metadata> says of it.
	Link Link

	// Portgroup is a network's; PortID the uuid of the port on it and Bridge
	// the network's bridge, both of a running guest only.
	Portgroup, PortID, Bridge string
	// Isolated ports of one network cannot reach each other.
	Isolated bool
	// VLANs are the <vlan> tags; Trunk its trunk='yes'.
	VLANs []VLAN
	Trunk bool

	// Forwards are the ports of the host that lead to the guest, Addresses
	// what the guest is given by DHCP (user only).
	Forwards  []Forward
	Addresses []netip.Prefix

	// Remote and Local are the addresses of mcast, udp, server and client.
	// Local is <local> (of udp: where it receives).
	Remote, Local SocketAddress

	// Mode is vepa, bridge, private or passthrough of direct, and client or
	// server of vhostuser.
	Mode string
	// Unmanaged is <target managed='no'/> of ethernet: somebody else makes
	// the tap device Target and removes it.
	Unmanaged bool
	// Backend is <backend type>, "" or "passt"; LogFile its log file.
	Backend, LogFile string
}

// InterfaceType is the type attribute of an <interface>.
type InterfaceType string

// The types that a UML guest can be given.
const (
	InterfaceUser      InterfaceType = "user"
	InterfaceNetwork   InterfaceType = "network"
	InterfaceBridge    InterfaceType = "bridge"
	InterfaceEthernet  InterfaceType = "ethernet"
	InterfaceDirect    InterfaceType = "direct"
	InterfaceMcast     InterfaceType = "mcast"
	InterfaceUDP       InterfaceType = "udp"
	InterfaceServer    InterfaceType = "server"
	InterfaceClient    InterfaceType = "client"
	InterfaceVHostUser InterfaceType = "vhostuser"
)

// Bandwidth limits one direction: Average, Peak and Floor in KiB a second,
// Burst in KiB; 0 is none.
type Bandwidth struct{ Average, Peak, Burst, Floor uint32 }

// VLAN is one <tag> of a <vlan>.
type VLAN struct {
	ID uint16
	// Native is the nativeMode of a trunk: "tagged", "untagged" or "".
	Native string
}

// Forward is one <portForward>.
type Forward struct {
	// Protocol is "tcp" or "udp".
	Protocol string
	// Address is where the host listens, the zero Addr for all; Device the
	// host's interface, "" for any.
	Address netip.Addr
	Device  string
	// Ranges are the ports; with none it is every port.
	Ranges []ForwardRange
}

// ForwardRange are the host's ports Start to End, both included, which lead to
// the guest's ports from To on. Exclude takes them out of the others instead.
type ForwardRange struct {
	Start, End, To uint16
	Exclude        bool
}

// SocketAddress is an address with its port as written in a document. Address
// may be "".
type SocketAddress struct {
	Address string
	Port    uint16
}
