package netswitch

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"
)

// How many addresses are kept: of all ports, and of one that is no uplink, so
// that a guest which makes addresses up cannot push out those of others.
const (
	maxAddresses     = 8192
	maxPortAddresses = 256
)

// addressAge is how long an address is kept that is not seen any more, as
// bridges do (IEEE 802.1D's default ageing time).
const addressAge = 5 * time.Minute

// sweepEvery is how often a full table is searched for old addresses.
const sweepEvery = time.Second

// address is a MAC address and its VLAN in one number.
type address uint64

func makeAddress(mac []byte, vlan uint16) address {
	_ = mac[5]
	return address(mac[0])<<40 | address(mac[1])<<32 | address(mac[2])<<24 |
		address(mac[3])<<16 | address(mac[4])<<8 | address(mac[5]) | address(vlan)<<48
}

// place is where an address was last seen.
type place struct {
	port atomic.Pointer[Port]
	// seen is the Unix time in seconds.
	seen atomic.Int64
}

func (p *place) old(now int64) bool { return now-p.seen.Load() > int64(addressAge/time.Second) }

// shards is how many maps the table is made of, a power of two.
const (
	shardBits = 6
	shards    = 1 << shardBits
)

// shard is the part of the table in which an address is (Fibonacci hashing).
func (a address) shard() int { return int(uint64(a) * 0x9e3779b97f4a7c15 >> (64 - shardBits)) }

// addressTable knows behind which port an address is. Readers take no lock: a
// new address makes a new map of its shard.
type addressTable struct {
	places [shards]atomic.Pointer[map[address]*place]

	// mu guards changes of the maps, of places' ports and of Port.learned.
	mu    sync.Mutex
	known int
	swept int64
}

func (t *addressTable) init() {
	for i := range t.places {
		t.places[i].Store(&map[address]*place{})
	}
}

// get returns the place of an address, or nil.
func (t *addressTable) get(a address) *place { return (*t.places[a.shard()].Load())[a] }

// find returns the port behind which a is, or nil.
func (t *addressTable) find(a address, now int64) *Port {
	p := t.get(a)
	if p == nil || p.old(now) {
		return nil
	}
	return p.port.Load()
}

// learn notes that a is behind port.
func (t *addressTable) learn(a address, port *Port, now int64) {
	p := t.get(a)
	if p != nil && p.port.Load() == port {
		if p.seen.Load() != now {
			p.seen.Store(now)
		}
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.admit(port, t.get(a) == nil, now) {
		return
	}
	p = t.get(a)
	if p == nil {
		p = t.add(a)
	} else { // it has moved
		p.port.Load().learned--
	}
	p.seen.Store(now)
	p.port.Store(port)
	port.learned++
}

func (t *addressTable) add(a address) *place {
	p := &place{}
	places := maps.Clone(*t.places[a.shard()].Load())
	places[a] = p
	t.known++
	t.places[a.shard()].Store(&places)
	return p
}

// admit reports whether port may have one more address. A port that is out
// gets none: nobody would remove it again.
func (t *addressTable) admit(port *Port, fresh bool, now int64) bool {
	if port.out {
		return false
	}
	full := func() bool {
		return fresh && t.known >= maxAddresses || port.learned >= maxPortAddresses && !port.config.Load().Uplink
	}
	if !full() {
		return true
	}
	if now-t.swept < int64(sweepEvery/time.Second) {
		return false
	}
	t.swept = now
	t.remove(func(p *place) bool { return p.old(now) })
	return !full()
}

// forget removes what is behind a port that is out.
func (t *addressTable) forget(port *Port) {
	t.mu.Lock()
	defer t.mu.Unlock()
	port.out = true
	if port.learned > 0 {
		t.remove(func(p *place) bool { return p.port.Load() == port })
	}
}

func (t *addressTable) remove(gone func(*place) bool) {
	for i := range t.places {
		places := maps.Clone(*t.places[i].Load())
		maps.DeleteFunc(places, func(_ address, p *place) bool {
			if !gone(p) {
				return false
			}
			p.port.Load().learned--
			t.known--
			return true
		})
		t.places[i].Store(&places)
	}
}
