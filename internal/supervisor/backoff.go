package supervisor

import "time"

const (
	// steadyAfter is how long a boot must last to count as a success.
	steadyAfter = 10 * time.Second
	longestWait = 30 * time.Second
)

// backoff slows down a guest that restarts again and again.
type backoff struct{ failures int }

// after returns how long to wait after a boot that lasted so long: not at all
// the first time, then 1 s, 2 s, 4 s and so on.
func (b *backoff) after(lasted time.Duration) time.Duration {
	if lasted >= steadyAfter {
		b.failures = 0
		return 0
	}
	b.failures++
	if b.failures == 1 {
		return 0
	}
	return min(time.Second<<min(b.failures-2, 10), longestWait)
}
