// Package netd is the process of one network in user space (virtumld network
// DIR): a switch, with a gateway, a tap or a socket as its way out, to which
// guests' interfaces are plugged in. It goes on when the daemon ends. It is
// also the other side: starting such a process, finding it again, asking it
// and plugging a guest's interface in. It knows nothing of libvirt's clients,
// documents or domains.
package netd

import (
	"net/netip"

	"virtumld/internal/netswitch"
	"virtumld/internal/usernet"
)

// Command is the argument that makes the binary run Main.
const Command = "network"

// Spec is all that a network's process needs. Its starter writes it as
// spec.json into the network's folder.
type Spec struct {
	// Name is the network's, or the guest's and its interface's, for logs.
	Name string
	// Dir is the network's own folder on the host, mode 0700: spec.json,
	// the control socket "ctl", the leases.
	Dir string
	// Gateway is the network's gateway, nil for a bare switch.
	Gateway *usernet.Config `json:",omitempty"`
	// Tap, Bridge or Socket are another way out, "" or nil for none.
	Tap    *Tap    `json:",omitempty"`
	Socket *Socket `json:",omitempty"`
	// Trunk has the way out carry the frames of ports in VLANs with tags;
	// without it those ports reach nothing there.
	Trunk bool `json:",omitempty"`
	// Inbound and Outbound shape what goes in and out of the gateway.
	Inbound, Outbound netswitch.Shape
	// User, when set, is the unprivileged user that the process becomes.
	User *User `json:",omitempty"`
	// Parent ends the process with its starter: the supervisor of a guest
	// whose private network it is.
	Parent bool
}

// User is a numeric user and group.
type User struct{ UID, GID int }

// Tap is a tap device of the host that the process opens: made, joined to the
// bridge and removed again by it unless Keep, which is somebody else's.
type Tap struct {
	// Name is the device's; with a "%d" the host numbers it ("vnet%d").
	Name string
	// Bridge is joined when set; Direct is the lower device of a macvtap.
	Bridge, Direct string
	// Mode of a macvtap: vepa, bridge, private or passthru.
	Mode string
	// MAC is the guest's own; a tap gets one that begins with fe:.
	MAC string
	MTU int
	// VLAN is the VLAN of the bridge's port without a tag, Tags those with
	// one.
	VLAN uint16
	Tags []uint16
	// Isolated ports of a bridge cannot reach each other.
	Isolated bool
	Keep     bool
	// Down is the device's link state.
	Down bool
}

// SocketKind is one of QEMU's socket network kinds.
type SocketKind string

// The kinds, as <interface type='…'> names them.
const (
	SocketMcast  SocketKind = "mcast"
	SocketUDP    SocketKind = "udp"
	SocketServer SocketKind = "server"
	SocketClient SocketKind = "client"
)

// Socket is a way out of frames over a socket, in QEMU's formats: one frame a
// datagram (mcast, udp), or a stream of frames, each after its length as four
// bytes in network order (server, client).
type Socket struct {
	Kind    SocketKind
	Address netip.AddrPort
	// Local is where udp receives, or the interface of mcast.
	Local netip.AddrPort
}

// Port is one guest's interface on a network.
type Port struct {
	// ID is unique and stays over reconnects and restarts: the uuid of a
	// libvirt network port, or the name of the interface.
	ID string
	// Owner and OwnerUUID are the domain; MAC is the guest's address.
	Owner, OwnerUUID, MAC string
	netswitch.PortConfig
}

// PortState is how a port stands.
type PortState struct {
	Port
	// Plugged says that the guest's interface is up and connected.
	Plugged  bool
	Counters netswitch.Counters
}

// State is how a network's process stands.
type State struct {
	Ports  []PortState
	Leases []usernet.Lease
	// TapName is the name that the tap device got.
	TapName string
	// ARP are the addresses that guests have been seen to use.
	ARP []usernet.Lease
}
