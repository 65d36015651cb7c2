// Package tap opens the host's network devices that carry a guest's frames:
// taps, alone or in a bridge, and macvtaps. It knows nothing of guests, of
// switches or of libvirt's documents.
package tap

// Config is a device to open.
type Config struct {
	// Name is the device's; with a "%d" the host numbers it ("vnet%d").
	Name string
	// Bridge is joined when set; Direct is the lower device of a macvtap.
	Bridge, Direct string
	// Mode of a macvtap: vepa (also ""), bridge, private or passthru.
	Mode string
	// MAC is the guest's own. A macvtap gets it, a tap one that begins
	// with fe:.
	MAC string
	// MTU is in bytes; 0 is the bridge's, or what the host chooses.
	MTU int
	// VLAN is the VLAN of the frames that the bridge's port carries without
	// a tag, 0 for none. Tags are those whose frames it carries with one;
	// without both, the port is as the bridge makes it.
	VLAN uint16
	Tags []uint16
	// Isolated ports of a bridge cannot reach each other.
	Isolated bool
	// Keep is a device of somebody else's: it is there already, and is
	// neither changed nor removed.
	Keep bool
	// Down is the device's link state: a tap without carrier, a macvtap that
	// is not up.
	Down bool
}
