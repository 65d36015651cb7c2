package conform

import (
	"errors"
	"io"
	"net"
	"reflect"
	"testing"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/proto"
	"virtumld/internal/testkit"
	"virtumld/internal/wire"
)

// rawClient speaks packets, so that it can say what no library would.
type rawClient struct {
	t      testing.TB
	conn   *net.UnixConn
	reader *wire.Reader
	serial uint32
	// messages are the events that came while a reply was awaited.
	messages []rawPacket
}

type rawPacket struct {
	wire.Header
	payload []byte
}

// dial connects to a socket and does nothing more.
func dial(t testing.TB, socket string) *rawClient {
	t.Helper()
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(testkit.Patience)); err != nil {
		t.Fatal(err)
	}
	return &rawClient{t: t, conn: conn, reader: wire.NewReader(conn)}
}

// open opens the hypervisor connection with flags.
func (c *rawClient) open(flags libvirt.ConnectFlags) {
	c.t.Helper()
	c.ok(proto.ConnectOpen, &libvirt.ConnectOpenArgs{Flags: flags}, nil)
}

// send sends one packet of the remote program.
func (c *rawClient) send(kind wire.Type, status wire.Status, program uint32, procedure int32, payload []byte) {
	c.t.Helper()
	packet := wire.Begin(nil, wire.Header{
		Program: program, Version: proto.Version, Procedure: procedure,
		Type: kind, Serial: c.serial, Status: status,
	})
	packet = append(packet, payload...)
	if err := wire.Finish(packet); err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.conn.Write(packet); err != nil {
		c.t.Fatalf("procedure %d: %v", procedure, err)
	}
}

// call makes a call and returns its reply.
func (c *rawClient) call(program uint32, procedure int32, payload []byte) rawPacket {
	c.t.Helper()
	c.serial++
	c.send(wire.Call, wire.OK, program, procedure, payload)
	for {
		p := c.next()
		if p.Type == wire.Reply && p.Serial == c.serial {
			return p
		}
		if p.Type == wire.Message && p.Program == proto.ProgramRemote {
			c.messages = append(c.messages, p)
		}
	}
}

// next returns the next packet, which must come.
func (c *rawClient) next() rawPacket {
	c.t.Helper()
	header, payload, err := c.reader.Next()
	if err != nil {
		c.t.Fatal("no packet:", err)
	}
	return rawPacket{header, append([]byte(nil), payload...)}
}

// message returns the next event.
func (c *rawClient) message() rawPacket {
	c.t.Helper()
	if len(c.messages) > 0 {
		first := c.messages[0]
		c.messages = c.messages[1:]
		return first
	}
	for {
		if p := c.next(); p.Type == wire.Message && p.Program == proto.ProgramRemote {
			return p
		}
	}
}

// ok makes a call that must succeed. args and reply are
// pointers to structs, or nil.
func (c *rawClient) ok(procedure int32, args, reply any) {
	c.t.Helper()
	p := c.call(proto.ProgramRemote, procedure, encode(c.t, args))
	if p.Status != wire.OK {
		e := decodeError(c.t, p)
		c.t.Fatalf("procedure %d failed: code %d: %s", procedure, e.Code, e.Message)
	}
	if reply != nil {
		decode(c.t, p, reply)
	}
}

// ended waits for the daemon to end the connection.
func (c *rawClient) ended() {
	c.t.Helper()
	_, err := io.Copy(io.Discard, c.conn)
	if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
		c.t.Error("the daemon has not ended the connection")
	}
}

// encode encodes what a pointer to a struct points to, nil for no arguments.
func encode(t testing.TB, args any) []byte {
	t.Helper()
	if args == nil {
		return nil
	}
	payload, err := proto.Codec.Append(nil, args)
	if err != nil {
		t.Fatal(err)
	}
	return payload
}

// decodeError reads an error reply.
func decodeError(t testing.TB, p rawPacket) proto.Error {
	t.Helper()
	var e proto.Error
	decode(t, p, &e)
	return e
}

// decode reads a packet's payload into the struct that into points to.
func decode(t testing.TB, p rawPacket, into any) {
	t.Helper()
	plan, err := proto.Codec.Plan(reflect.TypeOf(into).Elem())
	if err == nil {
		err = plan.Decode(p.payload, into)
	}
	if err != nil {
		t.Fatalf("procedure %d: the payload cannot be read: %v", p.Procedure, err)
	}
}
