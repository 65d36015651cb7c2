// Package dns is a network's name service: it answers for names of the
// network's settings and of guests, and asks forwarders or the host's own
// resolvers for the rest, through sockets of the host. It knows nothing of the
// stack that queries come through, or of how guests got their addresses.
package dns

import (
	"log/slog"
	"net/netip"
	"time"
)

// Config is a server's settings.
type Config struct {
	Settings
	// Name is the network's, for log texts.
	Name string
	// Domain is the DNS domain of the guests, "" for none.
	Domain string
	// Subnets are the network's: whose an address in them is, is asked of
	// nobody else.
	Subnets []netip.Prefix
	// Guests knows the guests' names; nil for none.
	Guests Guests
	// ResolvConf is the host's resolver file, "" for /etc/resolv.conf.
	ResolvConf string
	// Log takes what the host's administrator should know; nil is slog's
	// default.
	Log *slog.Logger
}

// Settings are what a network says of its name service.
type Settings struct {
	// Hosts are names with their addresses, TXT and SRV the other records.
	Hosts []Host
	TXT   []Text
	SRV   []Service
	// Forwarders answer what is not known here; with none the host's own
	// resolvers do. LocalOnly asks nobody.
	Forwarders []Forwarder
	LocalOnly  bool
	// DomainOnly asks nobody for names in the guests' domain (<domain
	// localOnly='yes'>), NoPlainNames for names without a dot (<dns
	// forwardPlainNames='no'>).
	DomainOnly, NoPlainNames bool
}

// Host gives an address to names.
type Host struct {
	Address netip.Addr
	Names   []string
}

// Text is a TXT record.
type Text struct{ Name, Value string }

// Service is a SRV record.
type Service struct {
	// Service and Protocol are without the underscore. An empty Domain is
	// the guests'; an empty Target says that there is no such service.
	Service, Protocol, Domain, Target string
	Port, Priority, Weight            uint16
}

// Forwarder is a resolver, for one domain or ("") for all.
type Forwarder struct {
	Domain string
	// Address is invalid for the host's own resolvers; a port of 0 is 53.
	Address netip.AddrPort
}

// Guests knows the names of guests. *dhcp.Server is one.
type Guests interface {
	// Addresses are those of the guest with that host name, one label in
	// any case.
	Addresses(name string, now time.Time) []netip.Addr
	// Hostname is the name of the guest that has the address, or "".
	Hostname(a netip.Addr, now time.Time) string
}
