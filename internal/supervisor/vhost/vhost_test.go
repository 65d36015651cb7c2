package vhost_test

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"virtumld/internal/supervisor/vhost"
)

// patience is how long one message may take.
const patience = time.Minute

const testMAC = "52:54:00:01:02:03"

// pair is a relay between a kernel and a back end, which are the test's.
type pair struct {
	t           *testing.T
	relay       *vhost.Relay
	listener    *net.UnixListener
	socket      string
	front, back *net.UnixConn
}

func open(t *testing.T) *pair {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "back end")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	relay, err := vhost.Open(vhost.Device{Name: "eth0", Backend: path, MAC: testMAC},
		vhost.Options{Dir: dir, UID: os.Geteuid(), GID: os.Getegid(), Log: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(relay.Close)
	p := &pair{t: t, relay: relay, listener: listener, socket: filepath.Join(dir, vhost.Socket("eth0"))}
	p.connect()
	return p
}

// connect is the boot of a kernel.
func (p *pair) connect() {
	p.t.Helper()
	var err error
	if p.front, err = net.DialUnix("unix", nil, &net.UnixAddr{Name: p.socket, Net: "unix"}); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { p.front.Close() })
	if p.back, err = p.listener.AcceptUnix(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { p.back.Close() })
}

func (p *pair) send(conn *net.UnixConn, request, flags uint32, payload []byte, rights []byte) {
	p.t.Helper()
	var m []byte
	for _, n := range []uint32{request, flags, uint32(len(payload))} {
		m = binary.NativeEndian.AppendUint32(m, n)
	}
	if _, _, err := conn.WriteMsgUnix(append(m, payload...), rights, nil); err != nil {
		p.t.Fatal(err)
	}
}

// expect takes one message of that request and returns its payload.
func (p *pair) expect(conn *net.UnixConn, request uint32) []byte {
	p.t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	header := make([]byte, 12)
	if _, err := io.ReadFull(conn, header); err != nil {
		p.t.Fatal(err)
	}
	if got := binary.NativeEndian.Uint32(header); got != request {
		p.t.Fatalf("request %d, want %d", got, request)
	}
	payload := make([]byte, binary.NativeEndian.Uint32(header[8:]))
	if _, err := io.ReadFull(conn, payload); err != nil {
		p.t.Fatal(err)
	}
	return payload
}

// offers has the back end offer features, and checks what the kernel sees of
// them and what the back end hears when all of that is accepted.
func (p *pair) offers(get, set uint32, offered, seen uint64) {
	p.t.Helper()
	p.send(p.front, get, 1, nil, nil)
	p.expect(p.back, get)
	p.send(p.back, get, 5, number(offered), nil)
	if got := binary.NativeEndian.Uint64(p.expect(p.front, get)); got != seen {
		p.t.Errorf("request %d: %#x is offered, the kernel sees %#x, want %#x", get, offered, got, seen)
	}
	p.send(p.front, set, 1, number(seen), nil)
	if got := binary.NativeEndian.Uint64(p.expect(p.back, set)); got != offered {
		p.t.Errorf("request %d: %#x is offered, the back end hears %#x", set, offered, got)
	}
}

func number(n uint64) []byte { return binary.NativeEndian.AppendUint64(nil, n) }

// config is a GET_CONFIG with the first bytes of the configuration.
func config(bytes ...byte) []byte {
	return append(slices.Concat(binary.NativeEndian.AppendUint32(number(uint64(len(bytes))<<32), 0)), bytes...)
}

// setChannel gives the back end a channel for its requests, and returns the
// kernel's end of it.
func (p *pair) setChannel(flags uint32) *os.File {
	p.t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		p.t.Fatal(err)
	}
	defer write.Close()
	p.t.Cleanup(func() { read.Close() })
	p.send(p.front, 21, flags, nil, syscall.UnixRights(int(write.Fd())))
	return read
}

// ended says whether nobody has the other end of a channel any more.
func ended(t *testing.T, channel *os.File) bool {
	t.Helper()
	poll := []unix.PollFd{{Fd: int32(channel.Fd()), Events: unix.POLLIN}}
	if _, err := unix.Poll(poll, 0); err != nil {
		t.Fatal(err)
	}
	return poll[0].Revents&unix.POLLHUP != 0
}

var want = config(0x52, 0x54, 0, 1, 2, 3)

// A back end without MAC address and channel has both for the kernel, and
// hears of neither.
func TestPlainBackEnd(t *testing.T) {
	t.Parallel()
	p := open(t)
	for range 2 { // a reboot is a connection like the first
		p.offers(1, 2, 1<<30|1<<32, 1<<30|1<<32|1<<5)
		p.offers(15, 16, 1<<3, 1<<3|1<<5|1<<9)
		p.setChannel(1 | 1<<3)
		if answer := p.expect(p.front, 21); !slices.Equal(answer, make([]byte, 8)) {
			t.Errorf("the channel is answered %v", answer)
		}
		p.send(p.front, 24, 1, config(0, 0, 0, 0, 0, 0), nil)
		if got := p.expect(p.front, 24); !slices.Equal(got, want) {
			t.Errorf("the configuration is %v, want %v", got, want)
		}
		p.front.Close()
		if _, err := p.back.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("the back end does not hear of the kernel's end: %v", err)
		}
		p.connect()
	}
}

// What a back end offers by itself stays its own, but for the MAC address.
func TestFullBackEnd(t *testing.T) {
	t.Parallel()
	p := open(t)
	p.offers(1, 2, 1<<30|1<<5, 1<<30|1<<5)
	p.offers(15, 16, 1<<3|1<<5|1<<9, 1<<3|1<<5|1<<9)
	channel := p.setChannel(1)
	p.expect(p.back, 21)
	p.send(p.front, 24, 1, config(0, 0, 0, 0, 0, 0), nil)
	p.expect(p.back, 24)
	p.send(p.back, 24, 5, config(9, 9, 9, 9, 9, 9), nil)
	if got := p.expect(p.front, 24); !slices.Equal(got, want) {
		t.Errorf("the configuration is %v, want %v", got, want)
	}
	// The end of the back end is not that of the kernel's connection and
	// channel.
	p.back.Close()
	for range 2 {
		p.send(p.front, 18, 1|1<<3, number(0), nil)
		if answer := p.expect(p.front, 18); !slices.Equal(answer, make([]byte, 8)) {
			t.Errorf("a request after the back end's end is answered %v", answer)
		}
	}
	if ended(t, channel) {
		t.Error("the kernel's channel has ended with the back end")
	}
	p.relay.Close()
	if !ended(t, channel) {
		t.Error("the kernel's channel has not ended with the relay")
	}
}

// Nonsense ends the connection and nothing else.
func TestNonsense(t *testing.T) {
	t.Parallel()
	p := open(t)
	p.send(p.front, 1, 1, make([]byte, 4097), nil)
	if _, err := p.back.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the back end reads: %v", err)
	}
	p.connect()
	p.offers(1, 2, 0, 1<<5)
}

// A back end that is not there is named.
func TestNoBackEnd(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "absent")
	_, err := vhost.Open(vhost.Device{Name: "eth0", Backend: path, MAC: testMAC}, vhost.Options{Dir: dir, UID: os.Geteuid(), Log: t.Logf})
	if !errors.Is(err, syscall.ENOENT) || !strings.Contains(err.Error(), "'"+path+"'") {
		t.Error(err)
	}
}
