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

// addressTable knows behind which port an address is. Readers take no lock: a
// new address makes a new map.
type addressTable struct {
	places atomic.Pointer[map[address]*place]

	// mu guards changes of the map, of places' ports and of Port.learned.
	mu    sync.Mutex
	swept int64
}

func (t *addressTable) init() { t.places.Store(&map[address]*place{}) }

// find returns the port behind which a is, or nil.
func (t *addressTable) find(a address, now int64) *Port {
	p := (*t.places.Load())[a]
	if p == nil || now-p.seen.Load() > int64(addressAge/time.Second) {
		return nil
	}
	return p.port.Load()
}

// learn notes that a is behind port.
func (t *addressTable) learn(a address, port *Port, now int64) {
	p := (*t.places.Load())[a]
	if p != nil && p.port.Load() == port {
		if p.seen.Load() != now {
			p.seen.Store(now)
		}
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	places := *t.places.Load()
	if !t.admit(port, places[a] == nil, now) {
		return
	}
	if p = places[a]; p != nil { // it has moved
		p.port.Load().learned--
		p.port.Store(port)
		p.seen.Store(now)
		port.learned++
		return
	}
	places = maps.Clone(*t.places.Load())
	p = &place{}
	p.port.Store(port)
	p.seen.Store(now)
	places[a] = p
	port.learned++
	t.places.Store(&places)
}

// admit reports whether port may have one more address. A port that is out
// gets none: nobody would remove it again.
func (t *addressTable) admit(port *Port, fresh bool, now int64) bool {
	if port.out {
		return false
	}
	full := func() bool {
		return fresh && len(*t.places.Load()) >= maxAddresses ||
			port.learned >= maxPortAddresses && !port.Config().Uplink
	}
	if !full() {
		return true
	}
	if now-t.swept < int64(sweepEvery/time.Second) {
		return false
	}
	t.swept = now
	t.remove(func(p *place) bool { return now-p.seen.Load() > int64(addressAge/time.Second) })
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

func (t *addressTable) remove(old func(*place) bool) {
	places := maps.Clone(*t.places.Load())
	maps.DeleteFunc(places, func(_ address, p *place) bool {
		if !old(p) {
			return false
		}
		p.port.Load().learned--
		return true
	})
	t.places.Store(&places)
}
