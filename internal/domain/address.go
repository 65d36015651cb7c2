package domain

import "net/netip"

// AddressSource says from where an interface's addresses are known.
type AddressSource int

// The sources of addresses.
const (
	// AddressLeases are the DHCP leases.
	AddressLeases AddressSource = iota
	// AddressARP are the addresses that the guest has been seen to use.
	AddressARP
)

// Address is an address of an interface with the length of its prefix, 0 when
// that is not known.
type Address struct {
	netip.Addr
	Prefix int
}
