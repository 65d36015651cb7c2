package dhcp

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"time"
)

// defaultTime is the time of a lease where the settings name none.
const defaultTime = time.Hour

// plan is a server's settings, made ready for look-ups. It is immutable.
type plan struct {
	Config
	// own are the gateways' addresses, which nobody gets.
	own   map[netip.Addr]bool
	pools []*pool
	// perPort4 and perPort6 are how many addresses one port can have.
	perPort4, perPort6 int
}

// pool is one subnet with DHCP.
type pool struct {
	Settings
	gateway netip.Addr
	prefix  netip.Prefix
	// kept are the addresses of Hosts.
	kept map[netip.Addr]bool
}

// client is who sent a packet, as far as it matters to addresses.
type client struct {
	v6 bool
	// mac is "" where it is not known.
	mac string
	// id is the client id or DUID in hex with colons, "" for none.
	id   string
	iaid string
	// name is what the client calls itself: a clean label, or "".
	name string
	// port is where it is plugged in, "" where that is not known.
	port string
}

// has reports whether a record is the client's, and not somebody else's who
// says to be it.
func (c *client) has(r *record) bool {
	return r != nil && !r.refused && r.key() == c.key() && (r.Port == c.port || r.Port == "")
}

// key tells one binding of a client from all others.
func (c *client) key() string { return leaseKey(c.mac, c.id, c.iaid, c.v6) }

func leaseKey(mac, id, iaid string, v6 bool) string {
	switch {
	case v6:
		return "6 " + id + " " + iaid
	case id != "":
		return "4 " + id
	default:
		return "4 mac " + mac
	}
}

func newPlan(cfg Config) (*plan, error) {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	p := &plan{Config: cfg, own: map[netip.Addr]bool{}}
	for _, subnet := range cfg.Subnets {
		if !subnet.Gateway.IsValid() {
			return nil, fmt.Errorf("network %s: a subnet has no gateway address", cfg.Name)
		}
		p.own[subnet.Gateway.Addr()] = true
		if subnet.DHCP == nil {
			continue
		}
		pool, err := newPool(subnet)
		if err != nil {
			return nil, fmt.Errorf("network %s: %w", cfg.Name, err)
		}
		p.pools = append(p.pools, pool)
	}
	p.perPort4, p.perPort6 = p.share(false), p.share(true)
	return p, nil
}

func newPool(s Subnet) (*pool, error) {
	p := &pool{
		Settings: *s.DHCP, gateway: s.Gateway.Addr(), prefix: s.Gateway.Masked(), kept: map[netip.Addr]bool{},
	}
	for _, r := range p.Ranges {
		if !p.prefix.Contains(r.First) || !p.prefix.Contains(r.Last) || r.Last.Less(r.First) {
			return nil, fmt.Errorf("the DHCP range %s - %s is not in %s", r.First, r.Last, p.prefix)
		}
	}
	for _, h := range p.Hosts {
		if !h.Address.IsValid() {
			continue
		}
		if !p.prefix.Contains(h.Address) {
			return nil, fmt.Errorf("the DHCP host %s is not in %s", h.Address, p.prefix)
		}
		p.kept[h.Address] = true
	}
	return p, nil
}

// of is the pools of one IP version.
func (p *plan) of(v6 bool) []*pool {
	var out []*pool
	for _, pool := range p.pools {
		if pool.prefix.Addr().Is6() == v6 {
			out = append(out, pool)
		}
	}
	return out
}

// share is how many addresses of the ranges one port can have at most: half of
// them, so that a guest which makes up MAC addresses leaves some to others, and
// no more than a guest with guests of its own needs.
func (p *plan) share(v6 bool) int {
	all := uint64(0)
	for _, pool := range p.of(v6) {
		for _, r := range pool.Ranges {
			all += min(size(r), 2*maxPerPort)
		}
	}
	return int(max(1, min(all/2, maxPerPort)))
}

// perPort is how many addresses the client's port can have.
func (p *plan) perPort(c *client) int {
	if c.v6 {
		return p.perPort6
	}
	return p.perPort4
}

// poolOf is the pool in whose subnet the address is, or nil.
func (p *plan) poolOf(a netip.Addr) *pool {
	for _, pool := range p.pools {
		if pool.prefix.Contains(a) {
			return pool
		}
	}
	return nil
}

// allows reports whether the settings let the client have the address.
func (p *plan) allows(c *client, a netip.Addr) bool {
	pool := p.poolOf(a)
	switch {
	case pool == nil || p.own[a] || a.Is6() != c.v6:
		return false
	case pool.kept[a]:
		return pool.isKeptFor(c, a)
	default:
		return pool.rangeOf(a) != nil
	}
}

func (p *pool) rangeOf(a netip.Addr) *Range {
	for i, r := range p.Ranges {
		if !a.Less(r.First) && !r.Last.Less(a) {
			return &p.Ranges[i]
		}
	}
	return nil
}

// host is the entry for the client: by its id, by its MAC, or by its name
// alone. It is nil for none.
func (p *pool) host(c *client) *Host {
	for _, matches := range []func(*Host, *client) bool{matchID, matchMAC, matchName} {
		for i := range p.Hosts {
			if matches(&p.Hosts[i], c) {
				return &p.Hosts[i]
			}
		}
	}
	return nil
}

func (p *pool) isKeptFor(c *client, a netip.Addr) bool {
	h := p.host(c)
	return h != nil && h.Address == a
}

func matchID(h *Host, c *client) bool {
	return h.ID != "" && c.id != "" && normalID(h.ID) == c.id
}

func matchMAC(h *Host, c *client) bool {
	if h.MAC == "" || c.mac == "" {
		return false
	}
	a, err := net.ParseMAC(h.MAC)
	b, err2 := net.ParseMAC(c.mac)
	return err == nil && err2 == nil && bytes.Equal(a, b)
}

func matchName(h *Host, c *client) bool {
	return h.MAC == "" && h.ID == "" && c.name != "" && strings.EqualFold(h.Name, c.name)
}

// normalID writes an id as client.id has it: two digits a byte. What is no
// hex is an id by its letters.
func normalID(id string) string {
	var out []byte
	for part := range strings.SplitSeq(id, ":") {
		if len(part) == 1 {
			part = "0" + part
		}
		b, err := hex.DecodeString(part)
		if err != nil || len(b) != 1 {
			return hexID([]byte(id))
		}
		out = append(out, b[0])
	}
	return hexID(out)
}

// hexID writes bytes in hex, parted by colons.
func hexID(id []byte) string { return net.HardwareAddr(id).String() }

// leaseTime is how long the client may have the address.
func (p *pool) leaseTime(c *client, a netip.Addr) time.Duration {
	var host, inRange time.Duration
	if h := p.host(c); h != nil {
		host = h.LeaseTime
	}
	if r := p.rangeOf(a); r != nil {
		inRange = r.LeaseTime
	}
	return cmp.Or(host, inRange, p.LeaseTime, defaultTime)
}

// hostname is the client's name: what the settings say before what it says.
func (p *pool) hostname(c *client) string {
	if h := p.host(c); h != nil && h.Name != "" {
		return h.Name
	}
	return c.name
}
