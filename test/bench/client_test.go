package bench

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"testing"

	libvirt "github.com/digitalocean/go-libvirt"
	"github.com/digitalocean/go-libvirt/socket/dialers"

	"virtumld/internal/proto"
	"virtumld/internal/wire"
	"virtumld/internal/xdr"
)

// uri is what clients call virtumld's instance of whoever runs the benchmarks.
func uri() string {
	if os.Geteuid() == 0 {
		return "uml:///system"
	}
	return "uml:///session"
}

// connect opens a connection of the library that most Go programs use.
func connect(b *testing.B, socket, uri string) *libvirt.Libvirt {
	b.Helper()
	l := libvirt.NewWithDialer(dialers.NewLocal(dialers.WithSocket(socket)))
	must(b, l.ConnectToURI(libvirt.ConnectURI(uri)))
	b.Cleanup(func() {
		if err := l.Disconnect(); err != nil {
			b.Error(err)
		}
	})
	return l
}

// lean is a client that costs next to nothing, so that what is measured is the
// server: it sends packets made beforehand and only looks at the reply's
// status.
type lean struct {
	conn  net.Conn
	reply []byte
}

func connectLean(b *testing.B, socket, uri string) *lean {
	b.Helper()
	conn, err := net.Dial("unix", socket)
	must(b, err)
	b.Cleanup(func() { conn.Close() })
	c := &lean{conn: conn, reply: make([]byte, 1<<20)}
	must(b, c.call(packet(b, proto.AuthList, nil)))
	must(b, c.call(packet(b, proto.ConnectOpen, &libvirt.ConnectOpenArgs{Name: libvirt.OptString{uri}})))
	return c
}

var codec = xdr.NewCodec(nil)

// packet is the call of a procedure.
func packet(b *testing.B, procedure int32, args any) []byte {
	b.Helper()
	call := wire.Begin(nil, wire.Header{
		Program: proto.ProgramRemote, Version: proto.Version, Procedure: procedure, Type: wire.Call, Serial: 1,
	})
	call, err := codec.Append(call, args)
	must(b, err)
	must(b, wire.Finish(call))
	return call
}

// call sends a call and reads its reply.
func (c *lean) call(packet []byte) error {
	if _, err := c.conn.Write(packet); err != nil {
		return err
	}
	n, err := io.ReadAtLeast(c.conn, c.reply, wire.MinPacket)
	if err != nil {
		return err
	}
	length := int(binary.BigEndian.Uint32(c.reply))
	if length > len(c.reply) {
		return fmt.Errorf("a reply of %d bytes", length)
	}
	if n < length {
		if _, err := io.ReadFull(c.conn, c.reply[n:length]); err != nil {
			return err
		}
	}
	if status := binary.BigEndian.Uint32(c.reply[wire.MinPacket-4:]); status != uint32(wire.OK) {
		return fmt.Errorf("reply with status %d: %q", status, c.reply[wire.MinPacket:length])
	}
	return nil
}
