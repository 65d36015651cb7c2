package dhcp

import (
	"hash/fnv"
	"net/netip"
	"slices"
	"time"
)

// The bounds of what guests can make the server keep.
const (
	// maxRecords are the leases, those that have run out and refused
	// addresses included.
	maxRecords = 8192
	// maxOffers are the offers that nobody has taken yet.
	maxOffers = 1024
	// maxPerMAC are the leases of one MAC, whatever ids it makes up.
	maxPerMAC = 16
	// maxPerPort are the addresses behind one port: leased, offered or
	// said to be in use.
	maxPerPort = 64
	// maxRefused are the addresses that clients say somebody else uses.
	maxRefused = 64
)

const (
	// offerTime is how long an offer waits for its client.
	offerTime = time.Minute
	// refusedTime is how long an address that somebody else uses is left.
	refusedTime = 10 * time.Minute
)

// record is an address that is, or was, somebody's.
type record struct {
	Lease
	// refused is an address that a client has found in use.
	refused bool
}

func (r *record) key() string { return leaseKey(r.MAC, r.ClientID, r.IAID, r.Address.Is6()) }

func (r *record) expired(now time.Time) bool {
	return !r.Expires.IsZero() && !now.Before(r.Expires)
}

// offer is an address that is held for a client for a moment.
type offer struct {
	key, mac, port string
	until          time.Time
}

// isFor reports whether the offer was made to the client, or to the same guest
// under another client id.
func (o offer) isFor(c *client) bool {
	return o.key == c.key() || !c.v6 && o.mac == c.mac && o.port == c.port
}

// table is who has which address. A client that comes back gets the address
// that it had, even when its lease has run out, as long as nobody needed it.
type table struct {
	records map[netip.Addr]*record
	clients map[string]*record
	offers  map[netip.Addr]offer
}

func newTable() *table {
	return &table{records: map[netip.Addr]*record{}, clients: map[string]*record{}, offers: map[netip.Addr]offer{}}
}

// put makes the lease its client's only one, and its address's.
func (t *table) put(r *record) {
	t.remove(t.records[r.Address])
	if !r.refused {
		t.remove(t.clients[r.key()])
		t.clients[r.key()] = r
	}
	t.records[r.Address] = r
	delete(t.offers, r.Address)
}

// remove forgets a record; nil is none.
func (t *table) remove(r *record) {
	if r == nil {
		return
	}
	delete(t.records, r.Address)
	if t.clients[r.key()] == r {
		delete(t.clients, r.key())
	}
}

// taken reports whether somebody else has the address or was just offered it.
func (t *table) taken(c *client, a netip.Addr, now time.Time) bool {
	if o, held := t.offers[a]; held && !o.isFor(c) && now.Before(o.until) {
		return true
	}
	r := t.records[a]
	switch {
	case r == nil || r.expired(now):
		return false
	case r.refused:
		return true
	default:
		return r.key() != c.key()
	}
}

// hold keeps an offered address for its client. A table full of offers drops
// those that have run out, and then holds no more: the client may still get
// the address if nobody takes it meanwhile.
func (t *table) hold(c *client, a netip.Addr, now time.Time) {
	t.dropOffers(c)
	if len(t.offers) >= maxOffers {
		for addr, o := range t.offers {
			if !now.Before(o.until) {
				delete(t.offers, addr)
			}
		}
	}
	if _, held := t.offers[a]; held || len(t.offers) < maxOffers {
		t.offers[a] = offer{c.key(), c.mac, c.port, now.Add(offerTime)}
	}
}

// dropOffers takes back what a guest was offered under another client id: a
// boot loader's, which has not taken it.
func (t *table) dropOffers(c *client) {
	for a, o := range t.offers {
		if a.Is4() && o.key != c.key() && o.isFor(c) {
			delete(t.offers, a)
		}
	}
}

// letGo forgets what was offered to a client.
func (t *table) letGo(c *client) {
	key := c.key()
	for a, o := range t.offers {
		if o.key == key {
			delete(t.offers, a)
		}
	}
}

// mayGrow reports whether the client, and its port, may have one more record.
func (t *table) mayGrow(p *plan, c *client, now time.Time) bool {
	mine := 0
	for _, r := range t.records {
		if c.mac != "" && r.MAC == c.mac && !r.refused && !r.expired(now) && r.Address.Is6() == c.v6 {
			mine++
		}
	}
	return mine < maxPerMAC && (c.port == "" || t.countPort(c, now) < p.perPort(c))
}

// countPort counts what the client's port has, and is offered to others there.
func (t *table) countPort(c *client, now time.Time) int {
	n := 0
	isOfPort := func(r *record) bool {
		return r != nil && r.Port == c.port && !r.expired(now)
	}
	for a, r := range t.records {
		if a.Is6() == c.v6 && isOfPort(r) {
			n++
		}
	}
	for a, o := range t.offers {
		if a.Is6() == c.v6 && o.port == c.port && !o.isFor(c) && now.Before(o.until) && !isOfPort(t.records[a]) {
			n++
		}
	}
	return n
}

// inherit picks what the guest has under another client id, for one that can
// have no more: the one that ends first.
func (t *table) inherit(p *plan, c *client, now time.Time) (netip.Addr, bool) {
	var first *record
	for a, r := range t.records {
		if c.v6 || !a.Is4() || r.refused || r.MAC != c.mac || r.Port != c.port || r.expired(now) || !p.allows(c, a) {
			continue
		}
		if first == nil || r.Expires.Before(first.Expires) || r.Expires.Equal(first.Expires) && a.Less(first.Address) {
			first = r
		}
	}
	if first == nil {
		return netip.Addr{}, false
	}
	return first.Address, true
}

// choose picks an address for a client: the one that the settings keep for
// it, the one that it has or had, the one that it wants, or a new one. None
// is the answer of a server that has nothing left.
func (t *table) choose(p *plan, c *client, wanted netip.Addr, now time.Time) (netip.Addr, bool) {
	for _, pool := range p.of(c.v6) {
		if h := pool.host(c); h != nil && h.Address.IsValid() && p.allows(c, h.Address) && t.free(c, h.Address, now) {
			return h.Address, true
		}
	}
	if r := t.clients[c.key()]; r != nil && p.allows(c, r.Address) && !t.taken(c, r.Address, now) {
		return r.Address, true
	}
	if !t.mayGrow(p, c, now) {
		return t.inherit(p, c, now)
	}
	if wanted.IsValid() && p.allows(c, wanted) && !t.taken(c, wanted, now) {
		return wanted, true
	}
	return t.allocate(p, c, now)
}

// free is taken's opposite, but lets a guest have what it has itself under
// another client id: a boot loader's, or that of a system installed before.
func (t *table) free(c *client, a netip.Addr, now time.Time) bool {
	if !t.taken(c, a, now) {
		return true
	}
	r := t.records[a]
	return !c.v6 && r != nil && !r.refused && r.MAC == c.mac
}

// allocate finds an address that nobody had yet, or else the one whose lease
// has run out longest ago.
func (t *table) allocate(p *plan, c *client, now time.Time) (netip.Addr, bool) {
	var oldest *record
	for _, pool := range p.of(c.v6) {
		for _, r := range pool.Ranges {
			a, spent := t.search(p, pool, r, c, now)
			if a.IsValid() && t.makeRoom(now) {
				return a, true
			}
			if spent != nil && (oldest == nil || spent.Expires.Before(oldest.Expires)) {
				oldest = spent
			}
		}
	}
	if oldest == nil {
		return netip.Addr{}, false
	}
	return oldest.Address, true
}

// makeRoom reports whether there is room for one more record, for which the
// one that has run out longest ago may have to go.
func (t *table) makeRoom(now time.Time) bool {
	if len(t.records) < maxRecords {
		return true
	}
	var oldest *record
	for _, r := range t.records {
		if r.expired(now) && (oldest == nil || r.Expires.Before(oldest.Expires)) {
			oldest = r
		}
	}
	t.remove(oldest)
	return oldest != nil
}

// search goes through a range from a place that the client's MAC or id
// decides, so that it gets the same address even of a server without memory.
// It returns the first address that nobody had yet, or else the record that
// has run out longest ago.
func (t *table) search(p *plan, pool *pool, r Range, c *client, now time.Time) (netip.Addr, *record) {
	var oldest *record
	start := startIn(r, c)
	a := start
	// Among so many addresses one is free, or the range is smaller.
	for range len(t.records) + len(t.offers) + len(pool.kept) + len(p.own) + 1 {
		switch old := t.records[a]; {
		case p.own[a] || pool.kept[a] || t.taken(c, a, now):
		case old == nil:
			return a, nil
		case oldest == nil || old.Expires.Before(oldest.Expires):
			oldest = old
		}
		if a == r.Last {
			a = r.First
		} else {
			a = a.Next()
		}
		if a == start {
			break
		}
	}
	return netip.Addr{}, oldest
}

// startIn is where in a range the search for a client begins.
func startIn(r Range, c *client) netip.Addr {
	h := fnv.New64a()
	if c.mac != "" && !c.v6 {
		_, _ = h.Write([]byte(c.mac)) // a hash does not fail
	} else {
		_, _ = h.Write([]byte(c.key()))
	}
	return addOffset(r.First, h.Sum64()%size(r))
}

// size is how many addresses a range has, at most 2^62.
func size(r Range) uint64 {
	const most = 1 << 62
	first, last := r.First.As16(), r.Last.As16()
	if !slices.Equal(first[:8], last[:8]) {
		return most
	}
	return min(low(last)-low(first), most-1) + 1
}

func low(a [16]byte) (n uint64) {
	for _, b := range a[8:] {
		n = n<<8 | uint64(b)
	}
	return n
}

// addOffset is the address n after a. The caller knows that it is in a range.
func addOffset(a netip.Addr, n uint64) netip.Addr {
	b := a.As16()
	for i := 15; i >= 0 && n > 0; i-- {
		n += uint64(b[i])
		b[i] = byte(n)
		n >>= 8
	}
	if a.Is4() {
		return netip.AddrFrom16(b).Unmap()
	}
	return netip.AddrFrom16(b)
}

// refuse leaves an address alone that a client says somebody else uses.
// Those of a port count as its own.
func (t *table) refuse(a netip.Addr, port string, now time.Time) {
	t.remove(t.records[a])
	refused := 0
	for _, r := range t.records {
		if r.refused && !r.expired(now) {
			refused++
		}
	}
	if refused < maxRefused {
		t.put(&record{Lease: Lease{Address: a, Port: port, Expires: now.Add(refusedTime)}, refused: true})
	}
}

// leases are the good ones, in the order of addresses.
func (t *table) leases(now time.Time) []Lease {
	var out []Lease
	for _, r := range t.records {
		if !r.refused && !r.expired(now) {
			out = append(out, r.Lease)
		}
	}
	slices.SortFunc(out, func(a, b Lease) int { return a.Address.Compare(b.Address) })
	return out
}

// takeName makes the name nobody else's: a guest that was made anew gets it.
func (t *table) takeName(name string, own *record) {
	for _, r := range t.records {
		if r != own && r.key() != own.key() && r.Address.Is6() == own.Address.Is6() && sameName(r.Hostname, name) && r.MAC != own.MAC {
			r.Hostname = ""
		}
	}
}
