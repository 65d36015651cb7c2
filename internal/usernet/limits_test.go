package usernet

import (
	"runtime"
	"testing"
)

// noneUsed waits until no guest uses anything.
func noneUsed(g *Gateway) error {
	for {
		g.limits.mu.Lock()
		none := g.limits.used == [kinds]int{} && len(g.limits.guests) == 0
		g.limits.mu.Unlock()
		if none {
			return nil
		}
		runtime.Gosched()
	}
}

func TestLimits(t *testing.T) {
	l := newLimits()
	l.perGuest[flowing], l.overall[flowing] = 2, 3
	take := func(guest guestKey, want bool) {
		t.Helper()
		if got := l.take(guest, flowing); got != want {
			t.Errorf("take for %s is %v, want %v", guest, got, want)
		}
	}
	take("a", true)
	take("a", true)
	take("a", false)
	take("b", true)
	take("b", false)
	l.give("a", flowing)
	take("b", true)
	take("c", false)
	l.give("a", flowing)
	l.give("b", flowing)
	l.give("b", flowing)
	if len(l.guests) != 0 || l.used[flowing] != 0 {
		t.Errorf("after all was given back: %v, %v", l.guests, l.used)
	}
}
