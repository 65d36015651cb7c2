package netswitch

import (
	"bytes"
	"io"
	"sync"
	"testing"
	"time"
)

// patienceOfTests is how long a test waits for what must happen.
const patienceOfTests = 2 * time.Minute

// device is the far end of a port.
type device struct {
	t    testing.TB
	port *Port
	in   chan []byte // to the switch
	out  chan []byte // from the switch
	once sync.Once
	gone chan struct{}
}

func (d *device) Read(b []byte) (int, error) {
	select {
	case f := <-d.in:
		return copy(b, f), nil
	case <-d.gone:
		return 0, io.EOF
	}
}

func (d *device) Write(b []byte) (int, error) {
	select {
	case d.out <- bytes.Clone(b):
		return len(b), nil
	default:
		return 0, io.ErrShortWrite
	}
}

func (d *device) Close() error {
	d.once.Do(func() { close(d.gone) })
	return nil
}

func plug(t testing.TB, s *Switch, config PortConfig) *device {
	t.Helper()
	d := &device{t: t, in: make(chan []byte), out: make(chan []byte, 64), gone: make(chan struct{})}
	p, err := s.Attach(config, d)
	if err != nil {
		t.Fatal(err)
	}
	d.port = p
	return d
}

func newTestSwitch(t testing.TB) *Switch {
	s := New()
	t.Cleanup(func() { s.Close() })
	return s
}

// send sends a frame and returns when the switch has taken it.
func (d *device) send(frame []byte) {
	d.t.Helper()
	d.sendLater(frame)
	// A second frame is read only when the first is dealt with; this one is
	// too short for anybody to get.
	d.sendLater(nil)
}

func (d *device) sendLater(frame []byte) {
	d.t.Helper()
	select {
	case d.in <- frame:
	case <-time.After(patienceOfTests):
		d.t.Fatal("the switch does not take a frame")
	}
}

func (d *device) expect(want []byte) {
	d.t.Helper()
	select {
	case got := <-d.out:
		if !bytes.Equal(got, want) {
			d.t.Fatalf("%s got\n%x, want\n%x", d.port.Config().Name, got, want)
		}
	case <-time.After(patienceOfTests):
		d.t.Fatalf("%s got nothing, want\n%x", d.port.Config().Name, want)
	}
}

// silent checks that nothing has come.
func (d *device) silent() {
	d.t.Helper()
	select {
	case got := <-d.out:
		d.t.Fatalf("%s got\n%x, want nothing", d.port.Config().Name, got)
	default:
	}
}

const everybody = 0xff

// frame makes a frame between two addresses, each given by its last byte.
func frame(to, from byte, payload string) []byte {
	mac := func(n byte) []byte {
		if n == everybody {
			return bytes.Repeat([]byte{0xff}, 6)
		}
		return []byte{2, 0, 0, 0, 0, n}
	}
	f := append(mac(to), mac(from)...)
	return append(append(f, 0x08, 0x00), payload...)
}

func withTag(f []byte, tag uint16) []byte {
	return appendTagged(nil, f, tag)
}

func TestLearning(t *testing.T) {
	t.Parallel()
	s := newTestSwitch(t)
	a, b, c := plug(t, s, PortConfig{Name: "a"}), plug(t, s, PortConfig{Name: "b"}), plug(t, s, PortConfig{Name: "c"})

	a.send(frame(2, 1, "to nobody knows whom"))
	b.expect(frame(2, 1, "to nobody knows whom"))
	c.expect(frame(2, 1, "to nobody knows whom"))
	b.send(frame(1, 2, "answer"))
	a.expect(frame(1, 2, "answer"))
	c.silent()
	a.send(frame(2, 1, "known"))
	b.expect(frame(2, 1, "known"))
	c.silent()
	a.send(frame(everybody, 1, "all"))
	b.expect(frame(everybody, 1, "all"))
	c.expect(frame(everybody, 1, "all"))
	// The address moves.
	c.send(frame(1, 2, "moved"))
	a.expect(frame(1, 2, "moved"))
	a.send(frame(2, 1, "there"))
	c.expect(frame(2, 1, "there"))
	b.silent()
	// And is forgotten with its port.
	c.port.Close()
	a.send(frame(2, 1, "again"))
	b.expect(frame(2, 1, "again"))
	// What is behind its sender's port stays there.
	a.send(frame(9, 8, "x"))
	b.expect(frame(9, 8, "x"))
	a.send(frame(8, 1, "own"))
	b.silent()
}
