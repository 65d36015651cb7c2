package dispatch

import (
	"context"
	"runtime/debug"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/proto"
	"virtumld/internal/virerr"
	"virtumld/internal/wire"
)

// request is a call that may be made.
type request struct {
	header    wire.Header
	procedure *proto.Procedure
	row       *row
	args      any
}

// call serves a CALL packet: at once, or in a goroutine of its own.
func (c *client) call(h wire.Header, payload []byte) {
	r, err := c.admit(h)
	if err == nil {
		r.args, err = r.row.decode(payload)
	}
	if err != nil {
		c.replyError(h, err)
		return
	}
	switch r.row.mode {
	case runInline:
		c.answer(r)
	case runInlineHoldingMessages:
		c.messages.hold()
		c.answer(r)
		c.messages.release()
	case runConcurrent:
		c.requests.start(func() { c.answer(r) })
	case runStream:
		c.requests.start(func() { c.answerStream(r) })
	}
}

// admit checks, in libvirt's order, that a call may be made. Everything about
// the program itself is an RPC error; the rest speaks as the API function does
// (libvirt's src/rpc/virnetserverprogram.c and src/libvirt-*.c).
func (c *client) admit(h wire.Header) (request, error) {
	r := request{header: h}
	if !proto.Known(h.Program, h.Version) {
		return r, virerr.In(virerr.RPC, libvirt.ErrRPC,
			"Cannot find program %d version %d", h.Program, h.Version)
	}
	if h.Status != wire.OK {
		return r, virerr.In(virerr.RPC, libvirt.ErrRPC, "Unexpected message status %d", h.Status)
	}
	r.procedure = proto.Find(h.Program, h.Procedure)
	if r.procedure == nil || r.procedure.Access == proto.Message {
		return r, virerr.In(virerr.RPC, libvirt.ErrRPC, "unknown procedure: %d", h.Procedure)
	}
	r.row = c.server.rows.find(h.Program, h.Procedure)
	if !c.auth.Done() && !isAuthentication(h) {
		return r, virerr.In(virerr.RPC, libvirt.ErrRPC, "authentication required")
	}
	if r.row != nil && r.row.ofClient {
		return r, nil
	}
	if !c.opened {
		return r, errNotOpen()
	}
	if r.procedure.Access != proto.ReadOnly && c.session.ReadOnly() {
		return r, virerr.In(r.procedure.Domain, libvirt.ErrOperationDenied,
			"read only access prevents %s", r.procedure.API)
	}
	if r.row == nil {
		return r, virerr.In(r.procedure.Domain, libvirt.ErrNoSupport, "%s", r.procedure.API)
	}
	return r, nil
}

func errNotOpen() error {
	return virerr.In(virerr.RPC, libvirt.ErrInternalError, "hypervisor connection not open")
}

// answer runs a call and sends its reply.
func (c *client) answer(r request) {
	buffer := wire.NewBuffer()
	defer buffer.Free()
	buffer.Bytes = wire.Begin(buffer.Bytes, replyTo(r.header, wire.OK))
	packet, err := c.invoke(r, buffer.Bytes)
	if err == nil && len(packet) > wire.MaxPacket {
		err = virerr.In(virerr.RPC, libvirt.ErrRPC,
			"the reply of %s has %d bytes, more than the %d of a packet", r.procedure.API, len(packet), wire.MaxPacket)
	}
	if err != nil {
		c.replyError(r.header, err)
		return
	}
	buffer.Bytes = packet
	_ = c.write(packet) // a failure has ended the connection
}

// answerStream runs a call that opens a stream, sends its reply and starts
// the stream.
func (c *client) answerStream(r request) {
	begin, err := c.open(r)
	if err == nil {
		err = c.streams.start(c, r.header, begin)
	}
	if err != nil {
		c.replyError(r.header, err)
	}
}

// invoke calls the row's method, which appends the reply to packet.
func (c *client) invoke(r request, packet []byte) (_ []byte, err error) {
	defer c.recoverFrom(r, &err)
	return r.row.serve(c.ctx, c.receiver(r.row), r.args, packet)
}

// open calls a stream row's method.
func (c *client) open(r request) (_ newStream, err error) {
	defer c.recoverFrom(r, &err)
	return r.row.open(c.ctx, c.receiver(r.row), r.args)
}

// receiver is what a row's method is called on.
func (c *client) receiver(r *row) any {
	if r.ofClient {
		return c
	}
	return c.session
}

// recoverFrom makes an error of a method's panic: a mistake in one procedure
// must not end the daemon and with it every client.
func (c *client) recoverFrom(r request, err *error) {
	if p := recover(); p != nil {
		c.log.Error("procedure panicked", "proc", r.procedure.Name, "panic", p, "stack", string(debug.Stack()))
		*err = virerr.New(libvirt.ErrInternalError, "%s failed unexpectedly; the daemon's log has the details", r.procedure.API)
	}
}

// replyTo is the header of the reply to h.
func replyTo(h wire.Header, status wire.Status) wire.Header {
	h.Type, h.Status = wire.Reply, status
	return h
}

// connectionRows are the procedures about the connection itself.
func connectionRows() []row {
	return []row{
		connection(proto.AuthList, get((*client).authList)),
		connection(proto.ConnectOpen, do((*client).connectOpen)),
		connection(proto.ConnectClose, act((*client).connectClose)),
		connection(proto.ConnectSupportsFeature, both((*client).supportsFeature)),
		connection(proto.ConnectRegisterCloseCallback, act((*client).registerCloseCallback)),
		connection(proto.ConnectUnregisterCloseCallback, act((*client).unregisterCloseCallback)),
	}
}

// connectOpen opens the hypervisor connection.
func (c *client) connectOpen(_ context.Context, args *libvirt.ConnectOpenArgs) error {
	if c.opened {
		return virerr.In(virerr.RPC, libvirt.ErrInternalError, "connection already open")
	}
	name := ""
	if len(args.Name) > 0 {
		name = args.Name[0]
	}
	if err := c.session.Open(name, args.Flags); err != nil {
		return err
	}
	c.opened = true
	c.reader.Limit(wire.MaxPacket)
	return nil
}

// connectClose is answered and nothing else: the client closes the socket,
// and that ends the connection.
func (c *client) connectClose(context.Context) error { return nil }
