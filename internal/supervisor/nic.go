package supervisor

import "virtumld/internal/netd"

// Interface is one network interface of a guest: the kernel connects to the
// socket GuestInterface(Unit) whenever the guest takes vecUnit up, and the
// supervisor plugs that connection into a network.
type Interface struct {
	// Unit is the number of the guest's device, vec0 and up.
	Unit int
	// Port are its settings on the network.
	Port netd.Port
	// Network is the folder of the process that serves the network. ""
	// means one of the interface's own, which Own describes and which the
	// supervisor starts, keeps and ends.
	Network string
	Own     *netd.Spec `json:",omitempty"`
}
