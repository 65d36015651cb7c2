package nic_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"virtumld/internal/netd"
	"virtumld/internal/supervisor/nic"
)

const patience = time.Minute

// fakeNetworks play the networks' processes. A network of the daemon's is there
// while its folder holds the socket's name; an own one while its process is.
type fakeNetworks struct {
	t      *testing.T
	events chan string

	mu        sync.Mutex
	processes map[string]*fakeProcess
	plugs     map[string]*fakePlug
	ports     map[string]netd.Port
	startErr  error
}

func newFake(t *testing.T) *fakeNetworks {
	return &fakeNetworks{
		t: t, events: make(chan string, 100),
		processes: map[string]*fakeProcess{}, plugs: map[string]*fakePlug{}, ports: map[string]netd.Port{},
	}
}

// expect waits for what the networks are told, in order.
func (f *fakeNetworks) expect(want ...string) {
	f.t.Helper()
	for _, w := range want {
		select {
		case got := <-f.events:
			if got != w {
				f.t.Fatalf("the networks were told %q, want %q", got, w)
			}
		case <-time.After(patience):
			f.t.Fatalf("the networks were not told %q", w)
		}
	}
}

func (f *fakeNetworks) Start(_ context.Context, spec *netd.Spec) (nic.Process, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.startErr != nil {
		return nil, f.startErr
	}
	p := &fakeProcess{f: f, name: filepath.Base(spec.Dir), done: make(chan struct{})}
	f.processes[spec.Dir] = p
	f.events <- "start " + p.name
	return p, nil
}

func (f *fakeNetworks) PlugIn(_ context.Context, dir string, port netd.Port, conn *os.File) (nic.Plug, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, missing := os.Stat(filepath.Join(dir, "ctl"))
	if process := f.processes[dir]; missing != nil && (process == nil || process.ended()) {
		return nil, fs.ErrNotExist
	}
	copied, err := net.FileConn(conn)
	if err != nil {
		return nil, err
	}
	p := &fakePlug{conn: copied, done: make(chan struct{})}
	f.plugs[dir] = p
	go p.run()
	f.events <- fmt.Sprintf("plug %s down=%t", filepath.Base(dir), port.Down)
	return p, nil
}

func (f *fakeNetworks) SetPort(_ context.Context, dir string, port netd.Port) error {
	f.events <- fmt.Sprintf("port %s down=%t", filepath.Base(dir), port.Down)
	return nil
}

func (f *fakeNetworks) Configure(_ context.Context, spec *netd.Spec) error {
	f.events <- "configure " + filepath.Base(spec.Dir)
	return nil
}

func (f *fakeNetworks) plug(dir string) *fakePlug {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.plugs[dir]
}

// die ends the own network of the folder dir, with its plugs.
func (f *fakeNetworks) die(dir string) {
	f.mu.Lock()
	process, plug := f.processes[dir], f.plugs[dir]
	f.mu.Unlock()
	process.end()
	plug.out()
}

type fakeProcess struct {
	f    *fakeNetworks
	name string
	done chan struct{}
	once sync.Once
}

func (p *fakeProcess) PID() int              { return 1 << 30 }
func (p *fakeProcess) Done() <-chan struct{} { return p.done }
func (p *fakeProcess) end()                  { p.once.Do(func() { close(p.done) }) }
func (p *fakeProcess) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}
func (p *fakeProcess) Stop(context.Context) error {
	p.end()
	p.f.events <- "stop " + p.name
	return nil
}

// fakePlug echoes what the guest sends, until one of them ends.
type fakePlug struct {
	conn net.Conn
	done chan struct{}
	once sync.Once

	mu     sync.Mutex
	pulled bool
}

func (p *fakePlug) run() {
	defer close(p.done)
	frame := make([]byte, 1<<16)
	for {
		n, err := p.conn.Read(frame)
		if err != nil {
			return
		}
		if _, err := p.conn.Write(frame[:n]); err != nil {
			return
		}
	}
}

// out ends the plug as the death of the network does.
func (p *fakePlug) out() {
	p.mu.Lock()
	p.pulled = true
	p.mu.Unlock()
	p.once.Do(func() { p.conn.Close() })
	<-p.done
}

func (p *fakePlug) Done() <-chan struct{} { return p.done }
func (p *fakePlug) Close() error          { p.out(); return nil }
func (p *fakePlug) GuestClosed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.pulled
}

// bench is a set with its sockets in a folder whose path is long.
type bench struct {
	*nic.Set
	t        *testing.T
	networks *fakeNetworks
	dir      string
}

func newBench(t *testing.T, uid int) *bench {
	t.Helper()
	dir := filepath.Join(t.TempDir(), strings.Repeat("x", 120))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, networks: newFake(t), dir: dir}
	b.Set = nic.New(nic.Options{Dir: dir, UID: uid, GID: os.Getegid(), Networks: b.networks, Log: t.Logf})
	t.Cleanup(b.End)
	return b
}

func (b *bench) open(i nic.Interface) {
	b.t.Helper()
	if err := b.Open(b.t.Context(), i); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) ownNet(unit int) nic.Interface {
	return nic.Interface{Unit: unit, Own: &netd.Spec{Dir: filepath.Join(b.dir, fmt.Sprint("net", unit))}}
}

// connect is the guest's kernel that takes an interface up.
func (b *bench) connect(unit int) *net.UnixConn {
	b.t.Helper()
	folder, err := os.Open(b.dir)
	if err != nil {
		b.t.Fatal(err)
	}
	defer folder.Close()
	name := fmt.Sprintf("/proc/self/fd/%d/%s", folder.Fd(), nic.Name(unit))
	conn, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: name, Net: "unixpacket"})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { conn.Close() })
	return conn
}

// echo sends a frame and takes it back.
func (b *bench) echo(conn *net.UnixConn, frame string) {
	b.t.Helper()
	if _, err := conn.Write([]byte(frame)); err != nil {
		b.t.Fatal(err)
	}
	b.receive(conn, frame)
}

func (b *bench) receive(conn *net.UnixConn, want string) {
	b.t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	got := make([]byte, 100)
	n, err := conn.Read(got)
	if err != nil || string(got[:n]) != want {
		b.t.Fatalf("got %q, %v, want %q", got[:n], err, want)
	}
}

// The guest may take its interface down and up as often as it likes.
func TestGuestClosesAndComesBack(t *testing.T) {
	t.Parallel()
	b := newBench(t, os.Geteuid())
	b.open(b.ownNet(0))
	b.networks.expect("start net0")
	for round := range 3 {
		conn := b.connect(0)
		b.networks.expect("plug net0 down=false")
		b.echo(conn, fmt.Sprint("frame ", round))
		conn.Close()
	}
	b.End()
	b.networks.expect("stop net0")
}

// A network's process that dies is started again, and the guest's connection
// stays.
func TestOwnNetworkDies(t *testing.T) {
	t.Parallel()
	b := newBench(t, os.Geteuid())
	i := b.ownNet(3)
	b.open(i)
	conn := b.connect(3)
	b.networks.expect("start net3", "plug net3 down=false")
	for range 2 {
		b.echo(conn, "before")
		b.networks.die(i.Own.Dir)
		b.networks.expect("start net3", "plug net3 down=false")
		b.echo(conn, "after")
	}
}

// A network of the daemon's that goes is found again when it is back, also
// when its folder has gone too. What the guest sends meanwhile is lost.
func TestSharedNetworkComesBack(t *testing.T) {
	t.Parallel()
	b := newBench(t, os.Geteuid())
	dir := filepath.Join(t.TempDir(), "networks", "default")
	conn := (*net.UnixConn)(nil)
	arrive := func() {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Error(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "ctl"), nil, 0o600); err != nil {
			t.Error(err)
		}
	}
	arrive()
	b.open(nic.Interface{Unit: 0, Network: dir})
	conn = b.connect(0)
	b.networks.expect("plug default down=false")
	for _, gone := range []string{filepath.Join(dir, "ctl"), dir, filepath.Dir(dir)} {
		if err := os.RemoveAll(gone); err != nil {
			t.Fatal(err)
		}
		b.networks.plug(dir).out()
		if _, err := conn.Write([]byte("into the void")); err != nil {
			t.Fatal(err)
		}
		arrive()
		b.networks.expect("plug default down=false")
		// It may have been thrown away, or not: the network was back soon.
		if _, err := conn.Write([]byte("here")); err != nil {
			t.Fatal(err)
		}
		for {
			_ = conn.SetReadDeadline(time.Now().Add(patience))
			got := make([]byte, 100)
			n, err := conn.Read(got)
			if err != nil {
				t.Fatal(err)
			}
			if string(got[:n]) == "here" {
				break
			}
		}
	}
}

// A guest that closes its interface while the network is away is noticed.
func TestGuestClosesWhileNetworkIsAway(t *testing.T) {
	t.Parallel()
	b := newBench(t, os.Geteuid())
	dir := t.TempDir()
	b.open(nic.Interface{Unit: 0, Network: dir})
	first := b.connect(0)
	first.Close()
	second := b.connect(0)
	if err := os.WriteFile(filepath.Join(dir, "ctl"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b.echo(second, "second")
}

// Settings change without the guest's connection, as does the network.
func TestUpdate(t *testing.T) {
	t.Parallel()
	b := newBench(t, os.Geteuid())
	i := b.ownNet(0)
	b.open(i)
	conn := b.connect(0)
	b.networks.expect("start net0", "plug net0 down=false")
	i.Port.Down = true
	if err := b.Update(t.Context(), i); err != nil {
		t.Fatal(err)
	}
	b.networks.expect("port net0 down=true")
	b.networks.die(i.Own.Dir)
	b.networks.expect("start net0", "plug net0 down=true")

	other := nic.Interface{Unit: 0, Network: t.TempDir()}
	if err := os.WriteFile(filepath.Join(other.Network, "ctl"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := b.Update(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	b.networks.expectBoth("stop net0", fmt.Sprintf("plug %s down=false", filepath.Base(other.Network)))
	b.echo(conn, "moved")

	tap := b.ownNet(0)
	tap.Own.Tap = &netd.Tap{Name: "vnet0"}
	if err := b.Update(t.Context(), tap); err != nil {
		t.Fatal(err)
	}
	b.networks.expect("start net0", "plug net0 down=false")
	socket := b.ownNet(0)
	socket.Own.Socket = &netd.Socket{Kind: netd.SocketMcast}
	if err := b.Update(t.Context(), socket); err != nil {
		t.Fatal(err)
	}
	b.networks.expect("stop net0", "start net0", "plug net0 down=false")
	b.echo(conn, "replaced")
}

// expectBoth is expect in any order.
func (f *fakeNetworks) expectBoth(a, b string) {
	f.t.Helper()
	first := <-f.events
	switch first {
	case a:
		f.expect(b)
	case b:
		f.expect(a)
	default:
		f.t.Fatalf("the networks were told %q, want %q and %q", first, a, b)
	}
}

// A failure leaves nothing.
func TestOpenFails(t *testing.T) {
	t.Parallel()
	b := newBench(t, os.Geteuid())
	b.networks.startErr = errors.New("port 80 is in use")
	if err := b.Open(t.Context(), b.ownNet(0)); !errors.Is(err, b.networks.startErr) {
		t.Fatal(err)
	}
	if _, err := os.Lstat(filepath.Join(b.dir, "vec0")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is there: %v", err)
	}
	b.networks.startErr = nil
	b.open(b.ownNet(0))
	if err := b.Open(t.Context(), b.ownNet(0)); err == nil {
		t.Error("a unit can be opened twice")
	}
	if err := b.Close(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	b.networks.expect("start net0", "stop net0")
	if _, err := os.Lstat(filepath.Join(b.dir, "vec0")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is there after Close: %v", err)
	}
	b.open(b.ownNet(0))
	b.End()
	if err := b.Open(t.Context(), b.ownNet(1)); err == nil {
		t.Error("an interface can be opened after End")
	}
}

// Only the guest's own processes may connect.
func TestStranger(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can make a socket another user's")
	}
	b := newBench(t, 65534)
	b.open(b.ownNet(0))
	b.networks.expect("start net0")
	conn := b.connect(0) // as root
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a stranger's connection stays: %v", err)
	}
}
