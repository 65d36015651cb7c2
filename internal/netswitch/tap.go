package netswitch

import (
	"slices"
	"time"
)

// Direction is the way of a frame at a port.
type Direction int

// FromDevice is what the port's device sent, ToDevice what it was given.
const (
	FromDevice Direction = iota
	ToDevice
)

// TapFunc is shown a frame. It is called where the frame is forwarded, by
// several goroutines at once, so it must be quick; frame is only valid until it
// returns and must not be changed.
type TapFunc func(at time.Time, port *Port, direction Direction, frame []byte)

type tap struct{ see TapFunc }

// Tap shows see every frame that a device sends (before its shape) and that a
// device is given (after its shape), until stop is called. A call may still be
// under way when stop returns.
func (s *Switch) Tap(see TapFunc) (stop func()) {
	t := &tap{see}
	s.setTaps(func(taps []*tap) []*tap { return append(slices.Clip(taps), t) })
	return func() {
		s.setTaps(func(taps []*tap) []*tap {
			return slices.DeleteFunc(slices.Clone(taps), func(u *tap) bool { return u == t })
		})
	}
}

// setTaps replaces the list of taps; none at all is nil, which costs nothing.
func (s *Switch) setTaps(change func([]*tap) []*tap) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var taps []*tap
	if now := s.taps.Load(); now != nil {
		taps = *now
	}
	if taps = change(taps); len(taps) == 0 {
		s.taps.Store(nil)
		return
	}
	s.taps.Store(&taps)
}

// show shows frames to the taps.
func (s *Switch) show(p *Port, direction Direction, frames [][]byte) {
	taps := s.taps.Load()
	if taps == nil {
		return
	}
	now := time.Now()
	for _, t := range *taps {
		for _, f := range frames {
			t.see(now, p, direction, f)
		}
	}
}
