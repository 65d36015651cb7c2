package netswitch

import (
	"testing"
	"time"
)

// TestPace checks when frames go, with a clock of its own.
func TestPace(t *testing.T) {
	t.Parallel()
	start := time.Unix(1000, 0)
	for _, tt := range []struct {
		name  string
		shape Shape
		size  int
		want  []time.Duration
	}{
		{"none", Shape{}, 1000, []time.Duration{0, 0, 0}},
		{"delay", Shape{Delay: time.Second}, 1000, []time.Duration{time.Second, time.Second}},
		{"average with the usual burst", Shape{Average: 10000}, 500, []time.Duration{
			0, 0, 0, 50 * time.Millisecond, 100 * time.Millisecond}},
		{"average with a burst", Shape{Average: 1000, Burst: 2000}, 1000, []time.Duration{
			0, 0, 0, time.Second, 2 * time.Second}},
		{"peak", Shape{Average: 1000, Burst: 2000, Peak: 2000}, 1000, []time.Duration{
			0, 500 * time.Millisecond, time.Second, 1500 * time.Millisecond, 2 * time.Second, 3 * time.Second}},
		{"peak alone", Shape{Peak: 1000}, 500, []time.Duration{0, 500 * time.Millisecond, time.Second}},
		{"rate and delay", Shape{Peak: 1000, Delay: time.Minute}, 500, []time.Duration{
			time.Minute, time.Minute + 500*time.Millisecond}},
		{"a rate that nobody reaches", Shape{Average: 1 << 63, Peak: 1 << 63, Burst: 1 << 63}, 1000, []time.Duration{0, 0, 0}},
		{"a byte a second", Shape{Average: 1, Burst: 1}, 1, []time.Duration{0, 0, time.Second}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var p pace
			for i, want := range tt.want {
				at := p.take(&tt.shape, p.next(&tt.shape, start), tt.size)
				if got := at.Sub(start); got != want {
					t.Errorf("frame %d goes after %v, want %v", i, got, want)
				}
			}
		})
	}
}

func TestJitterKeepsOrder(t *testing.T) {
	t.Parallel()
	shape := Shape{Delay: 10 * time.Millisecond, Jitter: 20 * time.Millisecond}
	var p pace
	now := time.Now()
	last := now
	for range 1000 {
		at := p.take(&shape, p.next(&shape, now), 100)
		if at.Before(last) || at.Sub(now) > 30*time.Millisecond {
			t.Fatalf("a frame goes %v after it came, the one before it %v", at.Sub(now), last.Sub(now))
		}
		last = at
	}
}

// Shaped frames arrive all, in order and unchanged; removing the shape keeps
// the order.
func TestShapedOrder(t *testing.T) {
	t.Parallel()
	s := newTestSwitch(t)
	slow := Shape{Delay: 5 * time.Millisecond, Jitter: time.Millisecond, Average: 1 << 20}
	a := plug(t, s, PortConfig{Name: "a", In: slow})
	b := plug(t, s, PortConfig{Name: "b", Out: slow})
	for i := range 20 {
		a.send(frame(everybody, 1, string(rune('a'+i))))
	}
	a.port.Configure(PortConfig{Name: "a"})
	b.port.Configure(PortConfig{Name: "b"})
	a.send(frame(everybody, 1, "last"))
	for i := range 20 {
		b.expect(frame(everybody, 1, string(rune('a'+i))))
	}
	b.expect(frame(everybody, 1, "last"))
}

// A new shape frees what the old one would have held for an hour.
func TestShapeChangeFreesFrames(t *testing.T) {
	t.Parallel()
	s := newTestSwitch(t)
	a := plug(t, s, PortConfig{Name: "a"})
	b := plug(t, s, PortConfig{Name: "b", Out: Shape{Delay: time.Hour}})
	a.send(frame(everybody, 1, "late"))
	b.silent()
	b.port.Configure(PortConfig{Name: "b"})
	b.expect(frame(everybody, 1, "late"))
}

// The queue of a shaped port is bounded, and what does not fit is counted.
func TestShapedQueueIsBounded(t *testing.T) {
	t.Parallel()
	s := newTestSwitch(t)
	a := plug(t, s, PortConfig{Name: "a"})
	b := plug(t, s, PortConfig{Name: "b", Out: Shape{Average: 1, Burst: 1}})
	for range minQueuedFrames + 30 {
		a.send(frame(everybody, 1, "x"))
	}
	// One, at most, has gone before it was due to wait.
	if got := b.port.Counters().RxDropped; got < 28 || got > 30 {
		t.Errorf("%d frames were dropped, want 28 to 30", got)
	}
}

// A port whose device is held up by its own shape can still be pulled.
func TestCloseOfHeldUpPort(t *testing.T) {
	t.Parallel()
	s := newTestSwitch(t)
	a := plug(t, s, PortConfig{Name: "a", In: Shape{Average: 1, Burst: 1}})
	for range minQueuedFrames + 2 {
		a.sendLater(frame(everybody, 1, "x"))
	}
	a.port.Close()
}
