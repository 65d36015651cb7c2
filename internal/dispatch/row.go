package dispatch

import (
	"context"
	"fmt"
	"io"
	"reflect"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/driver"
	"virtumld/internal/proto"
	"virtumld/internal/virerr"
	"virtumld/internal/wire"
	"virtumld/internal/xdr"
)

// mode says where a call runs.
type mode uint8

const (
	// runInline: in the goroutine that reads the client's packets. Such a
	// handler never waits, neither for I/O nor for a guest.
	runInline mode = iota
	// runInlineHoldingMessages: as runInline, and no message is sent until
	// the reply is: the client learns the id of its callback first.
	runInlineHoldingMessages
	// runConcurrent: in a goroutine of its own, within the client's limit.
	runConcurrent
	// runStream: as runConcurrent, and the connection's stream begins after
	// the reply.
	runStream
)

// row binds one procedure of the remote program to what serves it.
type row struct {
	procedure int32
	mode      mode
	// ofClient says that the handler's receiver is the *client, not the
	// driver's connection.
	ofClient bool
	handler
}

// handler decodes the arguments of a call, runs its method and encodes the
// reply. receiver is of the type that the method was made for.
type handler struct {
	args  reflect.Type // nil: none
	reply reflect.Type // nil: none

	decode func(payload []byte) (args any, err error)
	// serve appends the reply's payload to packet.
	serve func(ctx context.Context, receiver, args any, packet []byte) ([]byte, error)
	// open replaces serve in a row of mode runStream.
	open func(ctx context.Context, receiver, args any) (newStream, error)
}

// quick is a row whose method never waits.
func quick(procedure int32, h handler) row {
	return row{procedure: procedure, mode: runInline, handler: h}
}

// register is a quick row that makes or drops an event callback.
func register(procedure int32, h handler) row {
	return row{procedure: procedure, mode: runInlineHoldingMessages, handler: h}
}

// call is a row whose method may take its time.
func call(procedure int32, h handler) row {
	return row{procedure: procedure, mode: runConcurrent, handler: h}
}

// duplex is a row whose method opens a stream both ways. Close of what it
// returns must end a Read or Write that is waiting, and is called once.
func duplex[C, A any](procedure int32, open func(C, context.Context, *A) (io.ReadWriteCloser, error)) row {
	return stream(procedure, open, func(c *client, h wire.Header, end io.ReadWriteCloser) openStream {
		return newDuplexStream(c, h, end)
	})
}

// upload is a row whose method opens a stream from the client.
func upload[C, A any](procedure int32, open func(C, context.Context, *A) (driver.Upload, error)) row {
	return stream(procedure, open, func(c *client, h wire.Header, sink driver.Upload) openStream {
		return newUploadStream(c, h, sink)
	})
}

// download is a row whose method opens a stream to the client.
func download[C, A any](procedure int32, open func(C, context.Context, *A) (driver.Download, error)) row {
	return stream(procedure, open, func(c *client, h wire.Header, source driver.Download) openStream {
		return newDownloadStream(c, h, source)
	})
}

// stream is a row whose method opens the end of a stream that begin makes.
func stream[C, A, E any](procedure int32, open func(C, context.Context, *A) (E, error), begin func(*client, wire.Header, E) openStream) row {
	h := handler{
		args:   reflect.TypeFor[A](),
		decode: decoder[A](),
		open: func(ctx context.Context, receiver, args any) (newStream, error) {
			end, err := open(receiver.(C), ctx, args.(*A))
			if err != nil {
				return nil, err
			}
			return func(c *client, h wire.Header) openStream { return begin(c, h, end) }, nil
		},
	}
	return row{procedure: procedure, mode: runStream, handler: h}
}

// connection is a quick row about the connection itself.
func connection(procedure int32, h handler) row {
	return row{procedure: procedure, mode: runInline, ofClient: true, handler: h}
}

// both is a method with arguments and a reply.
func both[C, A, R any](method func(C, context.Context, *A) (*R, error)) handler {
	encode := encoder[R]()
	return handler{
		args:   reflect.TypeFor[A](),
		reply:  reflect.TypeFor[R](),
		decode: decoder[A](),
		serve: func(ctx context.Context, receiver, args any, packet []byte) ([]byte, error) {
			reply, err := method(receiver.(C), ctx, args.(*A))
			return encode(packet, reply, err)
		},
	}
}

// get is a method with a reply only.
func get[C, R any](method func(C, context.Context) (*R, error)) handler {
	encode := encoder[R]()
	return handler{
		reply:  reflect.TypeFor[R](),
		decode: decodeNothing,
		serve: func(ctx context.Context, receiver, _ any, packet []byte) ([]byte, error) {
			reply, err := method(receiver.(C), ctx)
			return encode(packet, reply, err)
		},
	}
}

// do is a method with arguments only.
func do[C, A any](method func(C, context.Context, *A) error) handler {
	return handler{
		args:   reflect.TypeFor[A](),
		decode: decoder[A](),
		serve: func(ctx context.Context, receiver, args any, packet []byte) ([]byte, error) {
			return packet, method(receiver.(C), ctx, args.(*A))
		},
	}
}

// act is a method with neither.
func act[C any](method func(C, context.Context) error) handler {
	return handler{
		decode: decodeNothing,
		serve: func(ctx context.Context, receiver, _ any, packet []byte) ([]byte, error) {
			return packet, method(receiver.(C), ctx)
		},
	}
}

// nothing answers a list or a count with R's zero: there is none. Its method
// takes arguments A, noneOf's takes none.
func nothing[A, R any]() handler {
	return both(func(any, context.Context, *A) (*R, error) { return new(R), nil })
}

func noneOf[R any]() handler {
	return get(func(any, context.Context) (*R, error) { return new(R), nil })
}

func decoder[A any]() func([]byte) (any, error) {
	plan := planOf[A]()
	return func(payload []byte) (any, error) {
		args := new(A)
		if err := plan.Decode(payload, args); err != nil {
			return nil, virerr.In(virerr.RPC, libvirt.ErrRPC, "cannot decode the arguments: %w", err)
		}
		return args, nil
	}
}

func decodeNothing(payload []byte) (any, error) {
	if len(payload) > 0 {
		return nil, virerr.In(virerr.RPC, libvirt.ErrRPC,
			"the call takes no arguments, but has %d bytes of them", len(payload))
	}
	return nil, nil
}

func encoder[R any]() func([]byte, *R, error) ([]byte, error) {
	plan := planOf[R]()
	return func(packet []byte, reply *R, err error) ([]byte, error) {
		if err != nil {
			return packet, err
		}
		packet, err = plan.Append(packet, reply)
		if err != nil {
			return packet, virerr.In(virerr.RPC, libvirt.ErrRPC, "cannot encode the reply: %w", err)
		}
		return packet, nil
	}
}

// planOf compiles T. A type of go-libvirt that has no XDR form is a mistake in
// the table of rows, which is built once at start.
func planOf[T any]() *xdr.Plan {
	plan, err := proto.Codec.Plan(reflect.TypeFor[T]())
	if err != nil {
		panic(err)
	}
	return plan
}

// table has the rows by procedure number; nil is a procedure not served.
type table []*row

func newTable(rows []row) table {
	t := make(table, len(proto.Procedures(proto.ProgramRemote))+1)
	for i := range rows {
		r := &rows[i]
		if t[r.procedure] != nil {
			panic(fmt.Sprintf("procedure %d has two rows", r.procedure))
		}
		t[r.procedure] = r
	}
	return t
}

// find returns the row of a known procedure, or nil.
func (t table) find(program uint32, procedure int32) *row {
	if program != proto.ProgramRemote {
		return nil
	}
	return t[procedure]
}
