package dispatch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"testing"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/proto"
	"virtumld/internal/wire"
)

func TestPeerCredentials(t *testing.T) {
	t.Parallel()
	server := serve(t, newBackend(), Options{})
	server.open(t)
	peer := server.conn(t).peer
	if peer.PID != int32(os.Getpid()) || peer.UID != uint32(os.Getuid()) || peer.GID != uint32(os.Getgid()) {
		t.Errorf("peer %+v", peer)
	}
}

// What is no packet ends the connection that it came on and no other.
func TestGarbage(t *testing.T) {
	t.Parallel()
	server := serve(t, newBackend(), Options{})
	other := server.open(t)
	for name, garbage := range map[string][]byte{
		"http":               []byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
		"length zero":        {0, 0, 0, 0},
		"length below 28":    binary.BigEndian.AppendUint32(nil, 27),
		"length above limit": binary.BigEndian.AppendUint32(nil, wire.MaxPacket+1),
		"long before open":   binary.BigEndian.AppendUint32(nil, unopenedPacket+1),
		"all ones":           bytes.Repeat([]byte{0xff}, 100),
	} {
		t.Run(name, func(t *testing.T) {
			c := server.dial(t)
			if _, err := c.conn.Write(garbage); err != nil {
				t.Fatal(err)
			}
			c.ended()
			other.must(proto.ConnectGetType, nil, new(libvirt.ConnectGetTypeRet))
		})
	}
	t.Run("half a packet, then the end", func(t *testing.T) {
		c := server.dial(t)
		if _, err := c.conn.Write([]byte{0, 0, 0, 28, 0x20, 0, 0x80}); err != nil {
			t.Fatal(err)
		}
		if err := c.conn.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		c.ended()
	})
	t.Run("file descriptors", func(t *testing.T) {
		c := server.dial(t)
		h := callHeader(proto.AuthList, 1)
		h.Type = wire.CallWithFDs
		c.send(h, []byte{0, 0, 0, 1})
		c.ended()
	})
	other.must(proto.ConnectGetType, nil, new(libvirt.ConnectGetTypeRet))
}

// Packets that a client has no business to send are dropped.
func TestStrayPackets(t *testing.T) {
	t.Parallel()
	c := serve(t, newBackend(), Options{}).open(t)
	for _, h := range []wire.Header{
		{Program: proto.ProgramRemote, Version: 1, Procedure: 1, Type: wire.Reply},
		{Program: proto.ProgramRemote, Version: 1, Procedure: 1, Type: wire.ReplyWithFDs},
		{Program: proto.ProgramRemote, Version: 1, Procedure: 1, Type: wire.Message},
		{Program: proto.ProgramRemote, Version: 1, Procedure: 1, Type: 99},
		{Program: 99, Version: 1, Procedure: 1, Type: wire.Stream},
		{Program: proto.ProgramRemote, Version: 1, Procedure: 201, Type: wire.Stream, Serial: 4, Status: wire.Continue},
		{Program: proto.ProgramRemote, Version: 1, Procedure: 201, Type: wire.StreamHole, Serial: 4, Status: wire.Continue},
		{Program: proto.ProgramKeepalive, Version: 1, Procedure: proto.KeepalivePong, Type: wire.Message},
		{Program: proto.ProgramKeepalive, Version: 1, Procedure: 17, Type: wire.Message},
	} {
		c.send(h, []byte("data"))
	}
	c.must(proto.ConnectGetType, nil, new(libvirt.ConnectGetTypeRet))
}

func TestClientCount(t *testing.T) {
	t.Parallel()
	server := serve(t, newBackend(), Options{MaxClients: 2})
	counted := func(want int) {
		t.Helper()
		if got := receive(t, server.changed); got != want {
			t.Fatalf("%d clients, want %d", got, want)
		}
	}
	first := server.open(t)
	counted(1)
	second := server.open(t)
	counted(2)
	server.dial(t).ended() // one too many
	second.must(proto.ConnectGetType, nil, new(libvirt.ConnectGetTypeRet))
	if err := first.conn.Close(); err != nil {
		t.Fatal(err)
	}
	counted(1)
	server.open(t)
	counted(2)
}

func TestCloseEndsClients(t *testing.T) {
	t.Parallel()
	backend := newBackend()
	server := serve(t, backend, Options{})
	a, b := server.open(t), server.open(t)
	if err := server.stop(); err != nil {
		t.Fatal(err)
	}
	a.ended()
	b.ended()
	for range 2 {
		receive(t, backend.closed)
	}
	if conn, err := net.Dial("unix", server.path); err == nil {
		_ = conn.Close()
		t.Error("the socket is still there")
	}
	server.Close() // again
}

// brokenListener fails at once.
type brokenListener struct{ net.Listener }

var errBroken = errors.New("broken listener")

func (brokenListener) Accept() (net.Conn, error) { return nil, errBroken }
func (brokenListener) Close() error              { return nil }

func TestServeReportsABrokenListener(t *testing.T) {
	t.Parallel()
	server := newServer(newBackend().connect, fakeRows(), Options{})
	err := server.Serve(t.Context(), Listener{Listener: brokenListener{}})
	if !errors.Is(err, errBroken) {
		t.Errorf("serve ended with %v", err)
	}
}
