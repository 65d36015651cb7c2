package usernet

import (
	"cmp"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// maxNeighbours bounds what is remembered of guests that make addresses up.
const maxNeighbours = 4096

// neighbours are the addresses that guests were seen to use.
type neighbours struct {
	mu   sync.Mutex
	seen map[netip.Addr]neighbour
	// newest is the address that was noted last, which most packets have.
	newest netip.Addr
}

type neighbour struct {
	mac tcpip.LinkAddress
	at  time.Time
}

func newNeighbours() *neighbours { return &neighbours{seen: map[netip.Addr]neighbour{}} }

// note remembers that the guest uses the address.
func (n *neighbours) note(mac []byte, a netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.newest == a && string(n.seen[a].mac) == string(mac) {
		return
	}
	if _, known := n.seen[a]; !known && len(n.seen) >= maxNeighbours {
		n.forgetOldest()
	}
	n.seen[a] = neighbour{mac: tcpip.LinkAddress(mac), at: time.Now()}
	n.newest = a
}

func (n *neighbours) forgetOldest() {
	var oldest netip.Addr
	for a, e := range n.seen {
		if !oldest.IsValid() || e.at.Before(n.seen[oldest].at) {
			oldest = a
		}
	}
	delete(n.seen, oldest)
}

// list is all that was seen and still is in a subnet of v.
func (n *neighbours) list(v *view) []Lease {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []Lease
	for a, e := range n.seen {
		prefix := 64 // of link-local addresses
		if s := v.subnetOf(a); s != nil {
			prefix = s.prefix.Bits()
		} else if !a.IsLinkLocalUnicast() {
			continue
		}
		out = append(out, Lease{MAC: net.HardwareAddr(e.mac).String(), Address: a, Prefix: prefix})
	}
	slices.SortFunc(out, func(a, b Lease) int {
		return cmp.Or(cmp.Compare(a.MAC, b.MAC), a.Address.Compare(b.Address))
	})
	return out
}

// latest is the address of a guest that was seen last among those that want
// accepts, or invalid.
func (n *neighbours) latest(want func(netip.Addr) bool) netip.Addr {
	n.mu.Lock()
	defer n.mu.Unlock()
	if want(n.newest) {
		return n.newest
	}
	var best netip.Addr
	for a, e := range n.seen {
		if want(a) && (!best.IsValid() || e.at.After(n.seen[best].at)) {
			best = a
		}
	}
	return best
}
