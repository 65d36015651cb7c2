// Package network keeps the virtual networks of an instance: their
// definitions, which of them are active, their processes (package netd), ports
// and leases. It implements libvirt's network API for package driver, and tells
// package uml how a guest's interface joins a network. It knows neither
// clients nor guests' kernels.
package network

import (
	"context"

	libvirt "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"

	"virtumld/internal/domxml"
	"virtumld/internal/netd"
	"virtumld/internal/netswitch"
	"virtumld/internal/usernet"
)

// Spec names a network: by UUID, or by Name when UUID is zero.
type Spec struct {
	Name string
	UUID uuid.UUID
}

// View is one network at one moment; it is immutable.
type View struct {
	Spec
	Active, Persistent, Autostart bool
	// Bridge is the name of the bridge, "" without one
	// (virNetworkGetBridgeName).
	Bridge string
}

// Section names what an update changes (virNetworkUpdateSection), Command how
// (virNetworkUpdateCommand).
type (
	Section = libvirt.NetworkUpdateSection
	Command = libvirt.NetworkUpdateCommand
)

// Target says which side of a network a change is for; with neither it is the
// live side of an active network, else the config.
type Target struct{ Live, Config bool }

// Event is what happened to a network (virNetworkEventLifecycleType), or to
// its metadata.
type Event struct {
	Network Spec
	// Lifecycle is meaningless when Metadata is set.
	Lifecycle libvirt.NetworkEventLifecycleType
	// Metadata says that metadata was changed: Kind is virNetworkMetadataType,
	// URI the namespace or "".
	Metadata bool
	Kind     int32
	URI      string
}

// Lease is a DHCP lease with the name of its network's bridge or interface.
type Lease struct {
	Interface string
	usernet.Lease
}

// Port is one guest's interface on a network.
type Port struct {
	Network Spec
	UUID    uuid.UUID
	netd.PortState
}

// Manager serves the network API. Its errors are virerr's, of the domain
// virerr.Network, in libvirt's words (src/network/bridge_driver.c,
// src/conf/virnetworkobj.c). Lists and look-ups wait for nobody.
type Manager interface {
	// List returns all networks, sorted by name.
	List() []View
	// Find returns one network; the error is ErrNoNetwork.
	Find(Spec) (View, error)
	// XML is the document of the active network, or of the config with
	// inactive set or when it is not active.
	XML(s Spec, inactive bool) (string, error)
	// Define makes or changes a persistent network; validate checks the
	// document strictly. Create makes a transient one and starts it.
	Define(ctx context.Context, document string, validate bool) (View, error)
	Create(ctx context.Context, document string, validate bool) (View, error)
	Start(ctx context.Context, s Spec) error
	Destroy(ctx context.Context, s Spec) error
	Undefine(ctx context.Context, s Spec) error
	SetAutostart(ctx context.Context, s Spec, on bool) error
	// Update changes one section (virNetworkUpdate); index is -1 for any.
	Update(ctx context.Context, s Spec, c Command, section Section, index int, document string, t Target) error
	// Leases are the leases of an active network, of one MAC when that is
	// not "".
	Leases(ctx context.Context, s Spec, mac string) ([]Lease, error)
	// Ports are the ports of an active network.
	Ports(ctx context.Context, s Spec) ([]Port, error)
	// Metadata and SetMetadata are virNetworkGetMetadata and
	// virNetworkSetMetadata; kind is virNetworkMetadataType, and a nil
	// value removes.
	Metadata(s Spec, kind int32, uri string, t Target) (string, error)
	SetMetadata(ctx context.Context, s Spec, kind int32, value *string, key, uri string, t Target) error
	// Subscribe has tell called for every event, in order and never
	// blocking long, until cancel.
	Subscribe(tell func(Event)) (cancel func())
	// Join tells how a guest's interface joins an active network; the
	// errors are libvirt's ("network 'default' is not active").
	Join(ctx context.Context, name, portgroup string) (Joint, error)
}

// Joint is how a guest's interface joins a network: by the process that serves
// Dir, or by a bridge of the host.
type Joint struct {
	Network Spec
	// Dir is the folder of the network's process; "" with Bridge.
	Dir string
	// Bridge is a bridge of the host (<forward mode='bridge'>), Direct the
	// lower device of a macvtap of mode Mode.
	Bridge, Direct, Mode string
	// MTU is the network's, 0 for the default.
	MTU int
	// Portgroup is the one that was chosen, and the rest its settings.
	Portgroup string
	Isolated  bool
	VLAN      uint16
	Trunk     bool
	// Tags are the VLANs of a trunk, beside VLAN.
	Tags    []uint16
	In, Out netswitch.Shape
	// Link is what the network says of its ports' links.
	Link domxml.Link
}
