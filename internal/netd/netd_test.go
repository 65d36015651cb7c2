package netd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"golang.org/x/sys/unix"

	"virtumld/internal/netswitch"
	"virtumld/internal/virerr"

	libvirt "github.com/digitalocean/go-libvirt"
)

// starterCommand makes the test's binary a starter that can be killed.
const starterCommand = "starter"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case Command:
			os.Exit(Main(os.Args[2:]))
		case starterCommand:
			os.Exit(starter(os.Args[2]))
		case strangerCommand:
			os.Exit(stranger(os.Args[2]))
		}
	}
	os.Exit(m.Run())
}

func starter(dir string) int {
	_, err := Start(context.Background(), "/proc/self/exe", &Spec{Name: "t", Dir: dir, Parent: true})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("started")
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

// bounded is a context that ends long after everything should have happened.
func bounded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// startNet starts a network's process with a folder whose path is longer than a
// socket's may be.
func startNet(t *testing.T, change func(*Spec)) (*Process, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), strings.Repeat("long", 30), "net")
	spec := &Spec{Name: "t", Dir: dir}
	if change != nil {
		change(spec)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		t.Fatal(err)
	}
	p, err := Start(bounded(t), "/proc/self/exe", spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return p, dir
}

func dial(t *testing.T, dir string) *Client {
	t.Helper()
	c, err := Dial(bounded(t), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func await(t *testing.T, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-bounded(t).Done():
		t.Fatalf("%s does not come", what)
	}
}

// guest is a guest's end of an interface, and the supervisor's copy of the
// other end.
type guest struct {
	*net.UnixConn
	copy *os.File
}

func newGuest(t *testing.T) *guest {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	own := os.NewFile(uintptr(fds[0]), "guest")
	conn, err := net.FileConn(own)
	own.Close()
	if err != nil {
		t.Fatal(err)
	}
	g := &guest{conn.(*net.UnixConn), os.NewFile(uintptr(fds[1]), "copy")}
	t.Cleanup(func() { g.Close(); g.copy.Close() })
	return g
}

func (g *guest) plug(t *testing.T, dir string, port Port) *Plug {
	t.Helper()
	p, err := PlugIn(bounded(t), dir, port, g.copy)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func (g *guest) send(t *testing.T, f string) {
	t.Helper()
	if _, err := g.Write([]byte(f)); err != nil {
		t.Fatal(err)
	}
}

func (g *guest) expect(t *testing.T, want string) {
	t.Helper()
	g.SetReadDeadline(time.Now().Add(2 * time.Minute))
	b := make([]byte, 2000)
	n, err := g.Read(b)
	if err != nil || string(b[:n]) != want {
		t.Fatalf("got %q, %v, want %q", b[:n], err, want)
	}
}

const (
	broadcast = "\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x01\x08\x00"
	payload   = broadcast + "data"
)

func portState(t *testing.T, c *Client, id string) PortState {
	t.Helper()
	s, err := c.State(bounded(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range s.Ports {
		if p.ID == id {
			return p
		}
	}
	t.Fatalf("there is no port %s in %+v", id, s)
	return PortState{}
}

func TestLife(t *testing.T) {
	t.Parallel()
	p, dir := startNet(t, nil)
	found, err := Find(bounded(t), dir)
	if err != nil || found.PID() != p.PID() {
		t.Fatalf("Find says %v, %v, want process %d", found, err, p.PID())
	}
	if info, err := os.Stat(filepath.Join(dir, controlFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket: %v, %v", info, err)
	}
	if _, err := Start(bounded(t), "/proc/self/exe", &Spec{Name: "t", Dir: dir}); !virerr.Is(err, libvirt.ErrOperationInvalid) {
		t.Errorf("a second start says %v", err)
	}
	if err := found.Stop(bounded(t)); err != nil {
		t.Fatal(err)
	}
	await(t, "the end", p.Done())
	if _, err := Find(bounded(t), dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Find after the end says %v", err)
	}
	if _, err := Dial(bounded(t), dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Dial after the end says %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, controlFile)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
}

func TestStartTellsWhyNot(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "net")
	_, err := Start(bounded(t), "/proc/self/exe", &Spec{Name: "t", Dir: dir, Socket: &Socket{Kind: "pigeon"}})
	if !virerr.Is(err, libvirt.ErrConfigUnsupported) || !strings.Contains(err.Error(), "pigeon") {
		t.Errorf("Start says %v", err)
	}
	if _, err := Find(bounded(t), dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Find says %v", err)
	}
}

func TestProcessEndsWithItsStarter(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "net")
	cmd := exec.Command("/proc/self/exe", starterCommand, dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 100)
	if n, _ := out.Read(b); string(b[:n]) != "started\n" {
		t.Fatalf("the starter says %q", b[:n])
	}
	p, err := Find(bounded(t), dir)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Process.Kill()
	cmd.Wait()
	await(t, "the end", p.Done())
}

func TestPlugs(t *testing.T) {
	t.Parallel()
	_, dir := startNet(t, nil)
	c := dial(t, dir)
	a, b := newGuest(t), newGuest(t)
	plugA := a.plug(t, dir, Port{ID: "a"})
	b.plug(t, dir, Port{ID: "b", Owner: "guest b"})
	a.send(t, payload)
	b.expect(t, payload)

	// Settings and counters stay over a replug.
	if err := c.SetPort(bounded(t), Port{ID: "b", Owner: "set", PortConfig: netswitch.PortConfig{Down: true}}); err != nil {
		t.Fatal(err)
	}
	b.Close()
	again := newGuest(t)
	again.plug(t, dir, Port{ID: "b", Owner: "guest b"})
	state := portState(t, c, "b")
	if !state.Plugged || state.Owner != "set" || !state.Down || state.Counters.RxPackets != 1 {
		t.Errorf("after a replug: %+v", state)
	}
	if err := c.SetPort(bounded(t), Port{ID: "b"}); err != nil {
		t.Fatal(err)
	}
	a.send(t, payload)
	again.expect(t, payload)

	// A second plug of an ID pulls the first, whose guest has not closed.
	other := newGuest(t)
	other.plug(t, dir, Port{ID: "a"})
	await(t, "the pulled plug's end", plugA.Done())
	if plugA.GuestClosed() {
		t.Error("a plug that was pulled says that the guest has closed")
	}
	other.send(t, payload)
	again.expect(t, payload)
	if _, err := PlugIn(bounded(t), dir, Port{}, a.copy); !virerr.Is(err, libvirt.ErrInvalidArg) {
		t.Errorf("a plug without an ID says %v", err)
	}
	if _, err := PlugIn(bounded(t), dir, Port{ID: "x"}, os.Stdin); !virerr.Is(err, libvirt.ErrInvalidArg) {
		t.Errorf("a plug without a socket says %v", err)
	}
}

func TestGuestCloses(t *testing.T) {
	t.Parallel()
	_, dir := startNet(t, nil)
	a := newGuest(t)
	plug := a.plug(t, dir, Port{ID: "a"})
	a.UnixConn.Close()
	await(t, "the plug's end", plug.Done())
	if !plug.GuestClosed() {
		t.Error("the plug does not say that the guest has closed")
	}
	if portState(t, dial(t, dir), "a").Plugged {
		t.Error("the port is plugged")
	}
	if err := dial(t, dir).ForgetPort(bounded(t), "a"); err != nil {
		t.Fatal(err)
	}
	if s, err := dial(t, dir).State(bounded(t)); err != nil || len(s.Ports) != 0 {
		t.Errorf("a forgotten port is left: %+v, %v", s, err)
	}
}

// The guest sees nothing of a process that is killed, and is plugged into its
// successor.
func TestProcessIsKilled(t *testing.T) {
	t.Parallel()
	p, dir := startNet(t, nil)
	a, b := newGuest(t), newGuest(t)
	plug := a.plug(t, dir, Port{ID: "a"})
	if err := p.id.Kill(time.Minute); err != nil {
		t.Fatal(err)
	}
	await(t, "the plug's end", plug.Done())
	await(t, "the process's end", p.Done())
	if plug.GuestClosed() {
		t.Error("the plug says that the guest has closed")
	}
	next, err := Start(bounded(t), "/proc/self/exe", &Spec{Name: "t", Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer next.Stop(bounded(t))
	a.plug(t, dir, Port{ID: "a"})
	b.plug(t, dir, Port{ID: "b"})
	b.send(t, payload)
	a.expect(t, payload)
}

// Clients that make no sense, or vanish, harm nobody.
func TestHostileClients(t *testing.T) {
	t.Parallel()
	_, dir := startNet(t, nil)
	document := func(text string) []byte { return append([]byte{partLast}, text...) }
	file := newGuest(t).copy
	rights := unix.UnixRights(int(file.Fd()), int(file.Fd()), int(file.Fd()), int(file.Fd()), int(file.Fd()), int(file.Fd()))
	for name, packets := range map[string][][]byte{
		"nothing":        nil,
		"no document":    {document("")},
		"no JSON":        {document("{{{")},
		"other JSON":     {document("[1,2]")},
		"unknown":        {document(`{"ID":1,"Command":"dance"}`)},
		"no argument":    {document(`{"ID":1,"Command":"plug"}`), document(`{"ID":2,"Command":"set-port"}`), document(`{"ID":3,"Command":"capture"}`)},
		"too large":      {make([]byte, maxPart+100)},
		"never complete": {append([]byte{partMore}, make([]byte, maxPart)...), append([]byte{partMore}, make([]byte, maxPart)...)},
	} {
		conn, err := connect(bounded(t), dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, packet := range packets {
			// It may have been thrown out already.
			_, _, _ = conn.WriteMsgUnix(packet, rights, nil)
		}
		if s, err := dial(t, dir).State(bounded(t)); err != nil || len(s.Ports) != 0 {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
		conn.Close()
	}
}

// A state that is larger than any packet comes whole.
func TestManyPorts(t *testing.T) {
	t.Parallel()
	_, dir := startNet(t, nil)
	c := dial(t, dir)
	const ports = 500
	for i := range ports {
		port := Port{ID: fmt.Sprintf("port %03d", i), Owner: strings.Repeat("o", 1000)}
		if err := c.SetPort(bounded(t), port); err != nil {
			t.Fatal(err)
		}
	}
	s, err := c.State(bounded(t))
	if err != nil || len(s.Ports) != ports || s.Ports[ports-1].ID != "port 499" {
		t.Errorf("%d ports, %v", len(s.Ports), err)
	}
}

func TestClientAfterLateAnswer(t *testing.T) {
	t.Parallel()
	_, dir := startNet(t, nil)
	c := dial(t, dir)
	over, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := c.State(over); !errors.Is(err, context.Canceled) {
		t.Errorf("State says %v", err)
	}
	if _, err := c.State(bounded(t)); err != nil {
		t.Error(err)
	}
}

func TestCapture(t *testing.T) {
	t.Parallel()
	_, dir := startNet(t, nil)
	a, b := newGuest(t), newGuest(t)
	a.plug(t, dir, Port{ID: "a"})
	b.plug(t, dir, Port{ID: "b", PortConfig: netswitch.PortConfig{Name: "name of b"}})
	for _, tt := range []struct{ port, name string }{{"", "a"}, {"a", "a"}, {"b", "name of b"}} {
		read, write, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(bounded(t))
		ended := make(chan error, 1)
		c := dial(t, dir)
		go func() { ended <- c.Capture(ctx, tt.port, write) }()
		// The head of the file says that the capture runs.
		frames, err := pcapgo.NewNgReader(read, pcapgo.DefaultNgReaderOptions)
		if err != nil {
			t.Fatal(err)
		}
		a.send(t, payload)
		b.expect(t, payload)
		data, info, err := frames.ReadPacketData()
		if err != nil || !bytes.Equal(data, []byte(payload)) {
			t.Fatalf("port %q: %q, %v", tt.port, data, err)
		}
		if i, err := frames.Interface(info.InterfaceIndex); err != nil || i.Name != tt.name || i.LinkType != layers.LinkTypeEthernet {
			t.Errorf("port %q: interface %+v, %v", tt.port, i, err)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the end of a capture is %v", err)
		}
		write.Close()
		if _, _, err := frames.ReadPacketData(); err != io.EOF {
			t.Errorf("port %q: after the last frame comes %v", tt.port, err)
		}
		read.Close()
	}
}

func TestCaptureIntoFullFile(t *testing.T) {
	t.Parallel()
	_, dir := startNet(t, nil)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	if err := dial(t, dir).Capture(bounded(t), "", full); !virerr.Is(err, libvirt.ErrWriteFailed) {
		t.Errorf("Capture says %v", err)
	}
}

// FuzzReceive feeds any packets to the end that serves.
func FuzzReceive(f *testing.F) {
	f.Add([]byte{partLast, '{', '}'}, []byte{})
	f.Add([]byte{partMore, '{'}, []byte{partLast, '}'})
	f.Add([]byte{partLast}, []byte{7})
	f.Add([]byte(`{"ID":1,"Command":"state"}`), []byte{0})
	f.Fuzz(func(t *testing.T, first, second []byte) {
		g := newGuest(t)
		conn, err := net.FileConn(g.copy)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		c, err := newChannel(conn.(*net.UnixConn))
		if err != nil {
			t.Fatal(err)
		}
		for _, packet := range [][]byte{first, second} {
			_, _ = g.Write(packet) // one that is too large does not go
		}
		g.CloseWrite()
		for err == nil {
			var r request
			err = discard(c.receive(&r))
		}
	})
}
