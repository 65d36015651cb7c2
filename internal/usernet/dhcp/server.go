package dhcp

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxPacket is the longest packet that is read, in bytes. Clients' are a few
// hundred bytes; in a longer one, names that point at each other could take
// gigabytes to read.
const maxPacket = 1500

// What guests can make the server do in a second: more packets are dropped,
// more changes of the lease file are written later, more warnings are lost.
const (
	packetRate, packetBurst = 200, 400
	saveRate, saveBurst     = 10, 50
	warnRate, warnBurst     = 0.1, 10
)

// Server is a DHCP server. Its methods may be called at the same time.
type Server struct {
	mu    sync.Mutex
	plan  *plan
	table *table
	file  string
	// dirty says that table differs from the file.
	dirty bool
	// failing says that writing the file failed last time.
	failing bool
	packets *rate.Limiter
	saves   *rate.Limiter
	warns   *rate.Limiter
}

// Open makes a server with the leases of cfg.LeaseFile. A file that cannot be
// understood is renamed aside and logged; the error is of settings that make
// no sense, or of a file that cannot be read.
func Open(cfg Config) (*Server, error) {
	p, err := newPlan(cfg)
	if err != nil {
		return nil, err
	}
	s := &Server{
		plan: p, table: newTable(), file: cfg.LeaseFile,
		packets: rate.NewLimiter(packetRate, packetBurst),
		saves:   rate.NewLimiter(saveRate, saveBurst),
		warns:   rate.NewLimiter(warnRate, warnBurst),
	}
	if err := s.load(); err != nil {
		return nil, err
	}
	s.forgetMisfits()
	return s, nil
}

// Close writes what is not written yet. The error is the file's.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.dirty {
		return nil
	}
	return s.write()
}

// Configure gives the server new settings. Leases that no longer fit them are
// forgotten. LeaseFile is not changed.
func (s *Server) Configure(cfg Config) error {
	p, err := newPlan(cfg)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.plan = p
	s.forgetMisfits()
	s.save(time.Now())
	return nil
}

// forgetMisfits drops what the settings no longer allow.
func (s *Server) forgetMisfits() {
	for _, r := range s.table.records {
		c := &client{v6: r.Address.Is6(), mac: r.MAC, id: r.ClientID, iaid: r.IAID, name: r.Hostname, port: r.Port}
		if !r.refused && !s.plan.allows(c, r.Address) {
			s.table.remove(r)
			s.dirty = true
		}
	}
	clear(s.table.offers)
}

// Leases are the leases that are good at now, in the order of addresses.
func (s *Server) Leases(now time.Time) []Lease {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.table.leases(now)
}

// Addresses are the addresses of the guest with that host name (one label,
// in any case).
func (s *Server) Addresses(name string, now time.Time) []netip.Addr {
	var out []netip.Addr
	for _, lease := range s.Leases(now) {
		if sameName(lease.Hostname, name) {
			out = append(out, lease.Address)
		}
	}
	return out
}

// Hostname is the name of the guest that has a lease of the address, or "".
func (s *Server) Hostname(a netip.Addr, now time.Time) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.table.records[a]; r != nil && !r.expired(now) {
		return r.Hostname
	}
	return ""
}

// warn logs what a guest has brought about.
func (s *Server) warn(now time.Time, text string, args ...any) {
	if s.warns.AllowN(now, 1) {
		s.plan.Log.Warn(text, append([]any{"network", s.plan.Name}, args...)...)
	}
}

// bind gives the client the address for the time, and writes it down.
func (s *Server) bind(c *client, a netip.Addr, d time.Duration, now time.Time) {
	pool := s.plan.poolOf(a)
	r := &record{Lease: Lease{
		MAC: c.mac, Address: a, Prefix: pool.prefix.Bits(), Hostname: pool.hostname(c),
		ClientID: c.id, IAID: c.iaid, Port: c.port, Expires: expiry(now, d),
	}}
	old := s.table.records[a]
	s.table.put(r)
	s.table.letGo(c)
	if r.Hostname != "" {
		s.table.takeName(r.Hostname, r)
	}
	if old == nil || !sameBinding(old, r, d) {
		s.dirty = true
	}
}

// decline takes back a lease whose client has found the address in use. An
// address that the settings give to the guest stays its own.
func (s *Server) decline(r *record, now time.Time) {
	s.warn(now, "a DHCP address is in use already", "address", r.Address, "guest", r.MAC)
	s.dirty = true
	if pool := s.plan.poolOf(r.Address); pool == nil || pool.kept[r.Address] {
		s.table.remove(r)
		return
	}
	s.table.refuse(r.Address, r.Port, now)
}

// sameBinding reports whether the file need not be written for a renewal: it
// says the same but for an end that is at most an eighth of the time earlier.
func sameBinding(old, r *record, d time.Duration) bool {
	if old.Expires.IsZero() != r.Expires.IsZero() {
		return false
	}
	a, b := old.Lease, r.Lease
	gained := b.Expires.Sub(a.Expires)
	a.Expires, b.Expires = time.Time{}, time.Time{}
	return a == b && !old.refused && gained >= 0 && gained < d/8
}

// expiry is when a lease of that time ends: zero for never.
func expiry(now time.Time, d time.Duration) time.Time {
	if d >= maxTime {
		return time.Time{}
	}
	return now.Add(d).Truncate(time.Second).UTC()
}
