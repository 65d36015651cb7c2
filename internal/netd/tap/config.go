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
	// VLAN is the access VLAN of the bridge's port, 0 for none.
	VLAN uint16
	// Keep is a device of somebody else's: it is there already, and is
	// neither changed nor removed.
	Keep bool
	// Down is the device's link state.
	Down bool
}
