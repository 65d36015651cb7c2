package dns

import "sync"

// The bounds of the queries that wait for resolvers, of all guests and of one.
const (
	maxInFlight  = 256
	maxPerClient = 96
)

// limit counts queries in flight.
type limit struct {
	mu    sync.Mutex
	total int
	each  map[string]int
}

func newLimit() *limit { return &limit{each: map[string]int{}} }

// enter reports whether a client may have one more query in flight; leave must
// follow then.
func (l *limit) enter(client string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.total >= maxInFlight || l.each[client] >= maxPerClient {
		return false
	}
	l.total++
	l.each[client]++
	return true
}

func (l *limit) leave(client string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total--
	if l.each[client]--; l.each[client] == 0 {
		delete(l.each, client)
	}
}
