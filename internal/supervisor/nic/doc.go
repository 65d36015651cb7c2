// Package nic is how a guest's interfaces reach their networks. For each it
// listens on a socket to which the guest's kernel connects when the interface
// is taken up, plugs that connection into a network's process (package netd),
// and into its successor when that process dies: the kernel must never see the
// far end close, or it spins (6.1). Networks that belong to one interface alone
// have processes of their own, which are started, restarted and ended here. It
// knows neither the kernel's command line nor the daemon.
package nic

import "virtumld/internal/netd"

// Interface is one network interface of a guest: the kernel connects to the
// socket of Unit whenever the guest takes vecUnit up, and that connection is
// plugged into a network.
type Interface struct {
	// Unit is the number of the guest's device, vec0 and up.
	Unit int
	// Device is what the kernel is told of it, after "vecN:". The root of
	// its paths is the guest's (supervisor.Root).
	Device string
	// Port are its settings on the network.
	Port netd.Port
	// Network is the folder of the process that serves the network. ""
	// means one of the interface's own, which Own describes and which is
	// started, kept and ended with the interface.
	Network string     `json:",omitempty"`
	Own     *netd.Spec `json:",omitempty"`
}

// Dir is the folder of the network's process.
func (i *Interface) Dir() string {
	if i.Own != nil {
		return i.Own.Dir
	}
	return i.Network
}
