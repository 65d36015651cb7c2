package qemusock

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/virerr"
)

const testTime = 2 * time.Minute

var loopback = netip.MustParseAddr("127.0.0.1")

func open(t *testing.T, cfg Config) io.ReadWriteCloser {
	t.Helper()
	conn, err := Open(cfg, func(string, ...any) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// freePort is a port of the loopback address that was free a moment ago.
func freePort(t *testing.T, network string) netip.AddrPort {
	t.Helper()
	if network == "udp" {
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.LocalAddr().(*net.UDPAddr).AddrPort()
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

func expect(t *testing.T, conn io.Reader, want string) {
	t.Helper()
	type result struct {
		text string
		err  error
	}
	got := make(chan result, 1)
	go func() {
		b := make([]byte, 70000)
		n, err := conn.Read(b)
		got <- result{string(b[:n]), err}
	}()
	select {
	case r := <-got:
		if r.err != nil || r.text != want {
			t.Fatalf("got %d bytes, %v, want %q", len(r.text), r.err, want)
		}
	case <-time.After(testTime):
		t.Fatalf("nothing comes, want %q", want)
	}
}

// sendUntilTaken sends until the connection is there.
func sendUntilTaken(t *testing.T, conn io.Writer, frame string) {
	t.Helper()
	for end := time.Now().Add(testTime); time.Now().Before(end); {
		_, err := conn.Write([]byte(frame))
		if err == nil {
			return
		}
		if !errors.Is(err, errNoPeer) {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond) // there is no event of a peer's arrival
	}
	t.Fatal("there is no peer")
}

func framed(text string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...)
}

func TestMcast(t *testing.T) {
	t.Parallel()
	group := netip.AddrPortFrom(netip.MustParseAddr("239.255.77.1"), freePort(t, "udp").Port())
	cfg := Config{Kind: Mcast, Address: group, Local: netip.AddrPortFrom(loopback, 0)}
	a, b := open(t, cfg), open(t, cfg)
	if _, err := a.Write([]byte("from a")); err != nil {
		t.Fatal(err)
	}
	expect(t, b, "from a")
	if _, err := b.Write([]byte("from b")); err != nil {
		t.Fatal(err)
	}
	expect(t, a, "from b") // and not its own before
	// What is sent to the port, but not to the group, is nobody's business.
	stranger, err := net.Dial("udp4", netip.AddrPortFrom(loopback, group.Port()).String())
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	_, _ = stranger.Write([]byte("stranger")) // it may be refused
	if _, err := b.Write([]byte("more of b")); err != nil {
		t.Fatal(err)
	}
	expect(t, a, "more of b")
}

func TestUDP(t *testing.T) {
	t.Parallel()
	x, y := freePort(t, "udp"), freePort(t, "udp")
	a := open(t, Config{Kind: UDP, Local: x, Address: y})
	// Nobody is there yet: the refusal that comes back harms nothing.
	_, _ = a.Write([]byte("early"))
	b := open(t, Config{Kind: UDP, Local: y, Address: x})
	stranger, err := net.Dial("udp4", x.String())
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	if _, err := stranger.Write([]byte("stranger")); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Write([]byte("from b")); err != nil {
		t.Fatal(err)
	}
	expect(t, a, "from b")
	if _, err := a.Write([]byte("from a")); err != nil {
		t.Fatal(err)
	}
	expect(t, b, "from a")
}

// A server takes one peer after the other, and lets go of one that lies.
func TestServer(t *testing.T) {
	t.Parallel()
	at := freePort(t, "tcp")
	s := open(t, Config{Kind: Server, Address: at})
	if _, err := s.Write([]byte("x")); !errors.Is(err, errNoPeer) {
		t.Errorf("a write without a peer says %v", err)
	}
	for i, lie := range [][]byte{nil, {0, 0, 0, 0}, {0xff, 0xff, 0xff, 0xff}, {0, 1, 0x10, 1}, {0, 0, 0, 9, 'c', 'u', 't'}} {
		peer, err := net.Dial("tcp4", at.String())
		if err != nil {
			t.Fatal(err)
		}
		peer.SetDeadline(time.Now().Add(testTime))
		text := fmt.Sprint("frame ", i)
		if _, err := peer.Write(append(framed(text), framed("second")...)); err != nil {
			t.Fatal(err)
		}
		expect(t, s, text)
		expect(t, s, "second")
		sendUntilTaken(t, s, "answer")
		b := make([]byte, 10)
		if _, err := io.ReadFull(peer, b); err != nil || string(b) != string(framed("answer")) {
			t.Fatalf("the peer got %q, %v", b, err)
		}
		_, _ = peer.Write(lie)
		peer.Close()
	}
}

func TestClientAndServer(t *testing.T) {
	t.Parallel()
	at := freePort(t, "tcp")
	c := open(t, Config{Kind: Client, Address: at})
	got := make(chan string, 1)
	go func() {
		b := make([]byte, 100)
		n, _ := c.Read(b)
		got <- string(b[:n])
	}()
	// The server may come later, and go and come again.
	for i := range 2 {
		s := open(t, Config{Kind: Server, Address: at})
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			b := make([]byte, 100)
			for {
				if _, err := s.Read(b); err != nil {
					return
				}
			}
		}()
		sendUntilTaken(t, s, fmt.Sprint("from server ", i))
		select {
		case text := <-got:
			if text != fmt.Sprint("from server ", i) {
				t.Errorf("the client got %q", text)
			}
		case <-time.After(testTime):
			t.Fatal("the client gets nothing")
		}
		go func() {
			b := make([]byte, 100)
			n, _ := c.Read(b)
			got <- string(b[:n])
		}()
		s.Close()
		<-ended
	}
	c.Close()
	if text := <-got; text != "" {
		t.Errorf("after Close comes %q", text)
	}
}

// A frame that the connection took in part is finished before the next.
func TestPeerThatDoesNotRead(t *testing.T) {
	t.Parallel()
	at := freePort(t, "tcp")
	s := open(t, Config{Kind: Server, Address: at})
	peer, err := net.Dial("tcp4", at.String())
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	if _, err := peer.Write(framed("hello")); err != nil {
		t.Fatal(err)
	}
	expect(t, s, "hello")
	frame := make([]byte, 60000)
	sent := 0
	for {
		if _, err := s.Write(frame); err != nil {
			break
		}
		sent++
	}
	peer.SetDeadline(time.Now().Add(testTime))
	done := make(chan struct{})
	go func() { // what is left goes with the next frames
		defer close(done)
		for {
			if _, err := s.Write([]byte("last")); err == nil {
				return
			}
			time.Sleep(time.Millisecond) // a Write that waits is what there is not
		}
	}()
	for range sent {
		var head [4]byte
		if _, err := io.ReadFull(peer, head[:]); err != nil || binary.BigEndian.Uint32(head[:]) != 60000 {
			t.Fatalf("a frame begins with %x, %v", head, err)
		}
		if _, err := io.CopyN(io.Discard, peer, 60000); err != nil {
			t.Fatal(err)
		}
	}
	b := make([]byte, 8)
	if _, err := io.ReadFull(peer, b); err != nil || string(b) != string(framed("last")) {
		t.Fatalf("the last frame is %q, %v", b, err)
	}
	<-done
}

func TestRefused(t *testing.T) {
	t.Parallel()
	for _, cfg := range []Config{
		{Kind: "pigeon"},
		{Kind: Mcast, Address: netip.MustParseAddrPort("10.0.0.1:1")},
		{Kind: Mcast, Address: netip.MustParseAddrPort("[ff02::1]:1")},
		{Kind: UDP, Address: netip.MustParseAddrPort("10.0.0.1:1")},
		{Kind: UDP, Address: netip.MustParseAddrPort("10.0.0.1:1"), Local: netip.MustParseAddrPort("[::1]:1")},
	} {
		if _, err := Open(cfg, nil); !virerr.Is(err, libvirt.ErrConfigUnsupported) {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	cfg := Config{Kind: Server, Address: taken.Addr().(*net.TCPAddr).AddrPort()}
	if _, err := Open(cfg, nil); !virerr.Is(err, libvirt.ErrSystemError) {
		t.Errorf("an address that is taken: %v", err)
	}
}
