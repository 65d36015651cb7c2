package usernet

import (
	"net"
	"sync"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// kind is what a guest has a bounded number of.
type kind int

const (
	halfOpen   kind = iota // TCP connections that are not made yet
	connection             // TCP connections through NAT
	flowing                // UDP flows and pings
	kinds
)

// The bounds of one guest, and of all together.
var (
	perGuest = [kinds]int{halfOpen: 256, connection: 4096, flowing: 1024}
	overall  = [kinds]int{halfOpen: 1024, connection: 16384, flowing: 4096}
)

// spareFiles are the open files that are left for all but connections.
const spareFiles = 256

// strangers is the port of all senders that are behind no known one: a guest
// that makes up more addresses than a switch remembers.
const strangers = "?"

// portOf is the port behind which a packet's sender is, "" where nobody can
// tell.
func (g *Gateway) portOf(sender tcpip.LinkAddress) string {
	find := g.ports.Load()
	if find == nil {
		return ""
	}
	if port := (*find)(net.HardwareAddr(sender)); port != "" {
		return port
	}
	return strangers
}

// whose is who has sent a packet: the port, or else the MAC address.
func (g *Gateway) whose(sender tcpip.LinkAddress) guestKey {
	if port := g.portOf(sender); port != "" {
		return guestKey(port)
	}
	return guestKey(sender)
}

// guestKey tells one guest from others.
type guestKey string

// limits counts what guests use.
type limits struct {
	mu       sync.Mutex
	perGuest [kinds]int
	overall  [kinds]int
	used     [kinds]int
	guests   map[guestKey]*[kinds]int
}

func newLimits() *limits {
	l := &limits{perGuest: perGuest, overall: overall, guests: map[guestKey]*[kinds]int{}}
	var files syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files) == nil && files.Cur < 1<<20 {
		most := max(int(files.Cur)-spareFiles, 16)
		l.overall[connection] = min(l.overall[connection], most*3/4)
		l.overall[flowing] = min(l.overall[flowing], most/4)
	}
	return l
}

// take counts one more, and reports false where that is too many.
func (l *limits) take(guest guestKey, k kind) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.guests[guest]
	if l.used[k] >= l.overall[k] || g != nil && g[k] >= l.perGuest[k] {
		return false
	}
	if g == nil {
		g = new([kinds]int)
		l.guests[guest] = g
	}
	g[k]++
	l.used[k]++
	return true
}

// give takes back one take.
func (l *limits) give(guest guestKey, k kind) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.guests[guest]
	g[k]--
	l.used[k]--
	if *g == [kinds]int{} {
		delete(l.guests, guest)
	}
}
