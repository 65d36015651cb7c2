package netswitch

import (
	"math/rand/v2"
	"time"
)

// active reports whether the shape does anything.
func (s *Shape) active() bool { return *s != Shape{} }

// defaultBurst is how much may go at once when no burst is set, as time at the
// average rate.
const defaultBurst = 100 * time.Millisecond

// timeAt is how long size bytes take at rate, 0 without a rate.
func timeAt(size, rate uint64) time.Duration {
	if rate == 0 {
		return 0
	}
	return time.Duration(min(float64(size)/float64(rate)*1e9, float64(24*time.Hour)))
}

// pace decides when frames go: two leaky buckets as meters (the generic cell
// rate algorithm of ITU-T I.371), one of the average rate with the burst, one
// of the peak rate. The zero value is at rest.
type pace struct {
	average, peak, last time.Time
}

// latest returns the later of two times.
func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// next returns when a frame that comes now may go by the rates alone.
func (p *pace) next(s *Shape, now time.Time) time.Time {
	at := now
	if s.Average > 0 {
		burst := defaultBurst
		if s.Burst > 0 {
			burst = timeAt(s.Burst, s.Average)
		}
		at = latest(at, p.average.Add(-burst))
	}
	if s.Peak > 0 {
		at = latest(at, p.peak)
	}
	return at
}

// take lets a frame of size bytes go at the time that next returned, and
// returns when it arrives after its delay. Frames keep their order.
func (p *pace) take(s *Shape, at time.Time, size int) time.Time {
	p.average = latest(p.average, at).Add(timeAt(uint64(size), s.Average))
	p.peak = latest(p.peak, at).Add(timeAt(uint64(size), s.Peak))
	delay := s.Delay
	if s.Jitter > 0 {
		delay += time.Duration((rand.Float64()*2 - 1) * float64(s.Jitter))
	}
	p.last = latest(p.last, at.Add(max(delay, 0)))
	return p.last
}

// lost reports whether a frame is to be lost.
func (s *Shape) lost() bool { return s.Loss > 0 && rand.Float64() < s.Loss }
