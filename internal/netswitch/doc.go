// Package netswitch is an Ethernet switch in user space: ports that carry one
// frame a message, learned addresses, port isolation, link state, bandwidth,
// delay and loss, counters, and taps for captures. It knows nothing of IP, of
// guests or of libvirt.
package netswitch
