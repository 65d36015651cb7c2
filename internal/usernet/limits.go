package usernet

import (
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

// limits counts what guests use, a guest being a MAC address.
type limits struct {
	mu       sync.Mutex
	perGuest [kinds]int
	overall  [kinds]int
	used     [kinds]int
	guests   map[tcpip.LinkAddress]*[kinds]int
}

func newLimits() *limits {
	l := &limits{perGuest: perGuest, overall: overall, guests: map[tcpip.LinkAddress]*[kinds]int{}}
	var files syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files) == nil && files.Cur < 1<<20 {
		most := max(int(files.Cur)-spareFiles, 16)
		l.overall[connection] = min(l.overall[connection], most*3/4)
		l.overall[flowing] = min(l.overall[flowing], most/4)
	}
	return l
}

// take counts one more, and reports false where that is too many.
func (l *limits) take(guest tcpip.LinkAddress, k kind) bool {
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
func (l *limits) give(guest tcpip.LinkAddress, k kind) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.guests[guest]
	g[k]--
	l.used[k]--
	if *g == [kinds]int{} {
		delete(l.guests, guest)
	}
}
