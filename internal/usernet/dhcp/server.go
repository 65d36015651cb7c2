package dhcp

import (
	"errors"
	"net/netip"
	"time"
)

// Server is a DHCP server. Its methods may be called at the same time.
type Server struct{}

var errTODO = errors.New("not built yet")

// Open makes a server with the leases of cfg.LeaseFile. A file that cannot be
// understood is renamed aside and logged; the error is of settings that make
// no sense, or of a file that cannot be read.
func Open(cfg Config) (*Server, error) { return nil, errTODO }

// Configure gives the server new settings. Leases that no longer fit them are
// forgotten. LeaseFile is not changed.
func (s *Server) Configure(cfg Config) error { return errTODO }

// Handle4 answers a DHCPv4 packet (the payload of UDP to port 67), or returns
// nil where silence is the answer.
func (s *Server) Handle4(packet []byte, now time.Time) *Reply { return nil }

// Handle6 answers a DHCPv6 packet (the payload of UDP to port 547) that came
// from a guest's link-local address, or returns nil where silence is the
// answer.
func (s *Server) Handle6(packet []byte, from netip.Addr, now time.Time) *Reply { return nil }

// Leases are the leases that are good at now, in the order of addresses.
func (s *Server) Leases(now time.Time) []Lease { return nil }

// Addresses are the addresses of the guest with that host name (one label,
// in any case).
func (s *Server) Addresses(name string, now time.Time) []netip.Addr { return nil }

// Hostname is the name of the guest that has a lease of the address, or "".
func (s *Server) Hostname(a netip.Addr, now time.Time) string { return "" }
