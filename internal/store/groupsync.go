package store

import "sync"

// groupSync lets callers share a sync: those who come while one runs all wait
// for the single one after it, which begins after their changes were made.
type groupSync struct {
	turn sync.Mutex // held while a sync runs

	mu   sync.Mutex // guards next; taken alone or inside turn
	next *round     // the sync that has not begun, nil when nobody waits for one
}

type round struct {
	done chan struct{}
	err  error
}

// do returns when a sync that began after the call has ended.
func (g *groupSync) do(syncFolder func() error) error {
	g.mu.Lock()
	r, leads := g.next, false
	if r == nil {
		r, leads = &round{done: make(chan struct{})}, true
		g.next = r
	}
	g.mu.Unlock()

	if leads {
		g.lead(r, syncFolder)
	}
	<-r.done
	return r.err
}

func (g *groupSync) lead(r *round, syncFolder func() error) {
	g.turn.Lock()
	defer g.turn.Unlock()
	defer close(r.done)

	g.mu.Lock()
	g.next = nil // from here on newcomers need the next one
	g.mu.Unlock()
	r.err = syncFolder()
}
