package netswitch

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// wire is a guest's end of a connection, with the port at the other.
type wire struct {
	t    testing.TB
	port *Port
	conn *net.UnixConn
}

func connect(t testing.TB, s *Switch, config PortConfig, kind int) *wire {
	t.Helper()
	ours, theirs := socketpair(t, kind)
	socket, err := NewSocket(theirs)
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.Attach(config, socket)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.FileConn(ours)
	ours.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &wire{t, p, conn.(*net.UnixConn)}
}

func socketpair(t testing.TB, kind int) (*os.File, *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return os.NewFile(uintptr(fds[0]), "ours"), os.NewFile(uintptr(fds[1]), "theirs")
}

func (w *wire) send(f []byte) {
	w.t.Helper()
	w.conn.SetDeadline(time.Now().Add(patienceOfTests))
	if _, err := w.conn.Write(f); err != nil {
		w.t.Fatal(err)
	}
}

func (w *wire) receive() []byte {
	w.t.Helper()
	w.conn.SetDeadline(time.Now().Add(patienceOfTests))
	b := make([]byte, MaxFrame+tagSize)
	n, err := w.conn.Read(b)
	if err != nil {
		w.t.Fatal(err)
	}
	return b[:n]
}

func await(t testing.TB, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(patienceOfTests):
		t.Fatalf("%s does not come", what)
	}
}

func TestSockets(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]int{"seqpacket": unix.SOCK_SEQPACKET, "dgram": unix.SOCK_DGRAM} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newTestSwitch(t)
			a, b := connect(t, s, PortConfig{}, kind), connect(t, s, PortConfig{}, kind)
			for _, f := range [][]byte{frame(everybody, 1, "x"), sized(1514), sized(MaxFrame)} {
				a.send(f)
				if got := b.receive(); string(got) != string(f) {
					t.Errorf("a frame of %d bytes came as %d other bytes", len(f), len(got))
				}
			}
			a.send(sized(MaxFrame + 1)) // is none
			a.send(frame(everybody, 1, "after"))
			if got := b.receive(); string(got) != string(frame(everybody, 1, "after")) {
				t.Errorf("got %d bytes after a frame that is too large", len(got))
			}
			// When it is out, all is counted.
			a.port.Close()
			want := Counters{TxPackets: 4, TxErrors: 1, TxBytes: uint64(15 + 1514 + MaxFrame + 19)}
			if got := a.port.Counters(); got != want {
				t.Errorf("sender's counters are %+v, want %+v", got, want)
			}
			want = Counters{RxPackets: 4, RxBytes: want.TxBytes}
			if got := b.port.Counters(); got != want {
				t.Errorf("receiver's counters are %+v, want %+v", got, want)
			}
		})
	}
}

func TestStreamSocketIsRefused(t *testing.T) {
	t.Parallel()
	a, b := socketpair(t, unix.SOCK_STREAM)
	defer a.Close()
	defer b.Close()
	if _, err := NewSocket(b); err == nil {
		t.Error("a stream socket was taken")
	}
}

func TestEndOfDevice(t *testing.T) {
	t.Parallel()
	s := newTestSwitch(t)
	a := connect(t, s, PortConfig{}, unix.SOCK_SEQPACKET)
	b := connect(t, s, PortConfig{}, unix.SOCK_SEQPACKET)
	a.conn.Close()
	await(t, "the port's end", a.port.Done())
	select {
	case <-a.port.Closing():
		t.Error("the device's end looks like Close")
	default:
	}
	b.port.Close()
	await(t, "the closing", b.port.Closing())
	if n := len(s.Ports()); n != 0 {
		t.Errorf("%d ports are left", n)
	}
	// The device of a port that was pulled sees no end while somebody else
	// holds the connection, and one when nobody does.
	if _, err := b.conn.Read(make([]byte, 10)); err == nil {
		t.Error("the connection does not end")
	}
}

func TestAttachToClosedSwitch(t *testing.T) {
	t.Parallel()
	s := New()
	a := plug(t, s, PortConfig{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	await(t, "the port's end", a.port.Done())
	d := &device{gone: make(chan struct{})}
	if _, err := s.Attach(PortConfig{}, d); err != ErrClosed {
		t.Errorf("Attach says %v", err)
	}
	await(t, "the connection's end", d.gone)
}

// A guest that reads nothing costs its senders a short wait once, and nobody
// a frame that is for somebody else.
func TestStuckReceiver(t *testing.T) {
	t.Parallel()
	s := newTestSwitch(t)
	a := connect(t, s, PortConfig{Name: "a"}, unix.SOCK_SEQPACKET)
	stuck := connect(t, s, PortConfig{Name: "stuck"}, unix.SOCK_SEQPACKET)
	c := connect(t, s, PortConfig{Name: "c"}, unix.SOCK_SEQPACKET)
	stuck.send(frame(everybody, 2, "I am here"))
	a.receive()
	c.receive()
	c.send(frame(1, 3, "so am I"))
	a.receive()
	stuck.receive()
	big := append(frame(2, 1, ""), make([]byte, 1400)...)
	for i := range 5000 {
		a.send(big)
		a.send(binary.BigEndian.AppendUint32(frame(3, 1, ""), uint32(i)))
		if got := binary.BigEndian.Uint32(c.receive()[headerSize:]); got != uint32(i) {
			t.Fatalf("frame %d came for %d", got, i)
		}
	}
	if stuck.port.Counters().RxDropped == 0 {
		t.Error("nothing was dropped")
	}
	// It is not stuck for ever.
	before := stuck.port.Counters().RxPackets
	for range before - 1 {
		stuck.receive()
	}
	a.send(frame(2, 1, "again"))
	for string(stuck.receive()[headerSize:]) != "again" {
	}
}

// What a slow receiver is sent by a guest is held back, not lost.
func TestBackPressure(t *testing.T) {
	t.Parallel()
	s := newTestSwitch(t)
	a := connect(t, s, PortConfig{}, unix.SOCK_SEQPACKET)
	b := connect(t, s, PortConfig{}, unix.SOCK_SEQPACKET)
	b.send(frame(everybody, 2, "x"))
	a.receive()
	const frames = 20000
	go func() {
		f := append(frame(2, 1, ""), make([]byte, 1400)...)
		for range frames {
			a.send(f)
		}
	}()
	received := uint64(0)
	for received+b.port.Counters().RxDropped < frames {
		b.conn.SetReadDeadline(time.Now().Add(patience))
		if _, err := b.conn.Read(make([]byte, 2000)); err == nil {
			received++
		}
	}
	// A machine that is busy for long may make the receiver look stuck; even
	// then most arrive.
	if received < frames/2 {
		t.Errorf("%d of %d frames came", received, frames)
	}
}

func TestLearningIsBounded(t *testing.T) {
	t.Parallel()
	s := newTestSwitch(t)
	a := plug(t, s, PortConfig{})
	b := plug(t, s, PortConfig{Uplink: true})
	address := func(kind byte, i int) []byte {
		f := frame(everybody, 0, "")
		f[7] = kind
		binary.BigEndian.PutUint16(f[10:], uint16(i))
		return f
	}
	for i := range maxPortAddresses + 100 {
		a.sendLater(address(1, i))
	}
	a.sendLater(nil)
	if n := s.known(); n != maxPortAddresses {
		t.Errorf("%d addresses of a port are known, want %d", n, maxPortAddresses)
	}
	for i := range maxAddresses {
		b.sendLater(address(2, i))
	}
	b.sendLater(nil)
	if n := s.known(); n != maxAddresses {
		t.Errorf("%d addresses are known, want %d", n, maxAddresses)
	}
	// Old ones make room.
	s.age(addressAge + time.Second)
	s.addresses.swept = 0
	b.send(address(3, 1))
	if n := s.known(); n != 1 {
		t.Errorf("%d addresses are known after the old ones have aged, want 1", n)
	}
}

// known counts the addresses that are known.
func (s *Switch) known() int {
	n := 0
	for i := range s.addresses.places {
		n += len(*s.addresses.places[i].Load())
	}
	return n
}

// age makes all addresses older.
func (s *Switch) age(by time.Duration) {
	for i := range s.addresses.places {
		for _, p := range *s.addresses.places[i].Load() {
			p.seen.Add(-int64(by / time.Second))
		}
	}
}

func TestAgedAddressIsUnknown(t *testing.T) {
	t.Parallel()
	s := newTestSwitch(t)
	a, b, c := plug(t, s, PortConfig{}), plug(t, s, PortConfig{}), plug(t, s, PortConfig{})
	b.send(frame(1, 2, "x"))
	a.expect(frame(1, 2, "x"))
	c.expect(frame(1, 2, "x"))
	s.age(addressAge + time.Second)
	a.send(frame(2, 1, "y"))
	b.expect(frame(2, 1, "y"))
	c.expect(frame(2, 1, "y"))
}

func TestTap(t *testing.T) {
	t.Parallel()
	s := newTestSwitch(t)
	a, b := plug(t, s, PortConfig{Name: "a"}), plug(t, s, PortConfig{Name: "b", VLAN: 1})
	c := plug(t, s, PortConfig{Name: "c"})
	var seen []string
	stop := s.Tap(func(_ time.Time, p *Port, way Direction, f []byte) {
		seen = append(seen, fmt.Sprint(p.Config().Name, way, string(f[headerSize:])))
	})
	a.send(frame(everybody, 1, "x"))
	c.expect(frame(everybody, 1, "x"))
	stop()
	a.send(frame(everybody, 1, "y"))
	b.silent()
	if got := fmt.Sprint(seen); got != "[a0x c1x]" {
		t.Errorf("the tap saw %s", got)
	}
}

// All changes may come at any time.
func TestChangesUnderTraffic(t *testing.T) {
	t.Parallel()
	s := newTestSwitch(t)
	var ports []*wire
	for range 4 {
		ports = append(ports, connect(t, s, PortConfig{}, unix.SOCK_SEQPACKET))
	}
	var stop atomic.Bool
	var all sync.WaitGroup
	for i, w := range ports {
		all.Go(func() {
			for n := 0; !stop.Load(); n++ {
				w.conn.SetWriteDeadline(time.Now().Add(patience))
				w.conn.Write(frame(byte(n%5), byte(i+1), "data")) // may well time out
			}
		})
		all.Go(func() {
			for !stop.Load() {
				w.conn.SetReadDeadline(time.Now().Add(patience))
				w.conn.Read(make([]byte, 100))
			}
		})
	}
	for i := range 300 {
		p := ports[i%4].port
		config := PortConfig{VLAN: uint16(i % 2), Trunk: i%3 == 0, Isolated: i%5 == 0}
		if i%7 == 0 {
			config.In = Shape{Delay: time.Microsecond, Average: 1 << 20}
			config.Out = Shape{Jitter: time.Microsecond, Loss: 0.5}
		}
		p.Configure(config)
		untap := s.Tap(func(time.Time, *Port, Direction, []byte) {})
		extra := connect(t, s, config, unix.SOCK_DGRAM)
		p.Counters()
		extra.port.Close()
		untap()
	}
	stop.Store(true)
	all.Wait()
}
