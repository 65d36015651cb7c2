package dispatch

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/driver"
	"virtumld/internal/proto"
	"virtumld/internal/virerr"
	"virtumld/internal/wire"
)

// patience is how long a test waits for what must happen.
const patience = 10 * time.Second

// fakeConn stands for the driver's connection.
type fakeConn struct {
	peer     driver.Peer
	readOnly bool
	notify   driver.Notifier
	backend  *fakeBackend
}

// fakeBackend stands for the driver. Its functions are what a test wants the
// calls to do.
type fakeBackend struct {
	conns    chan *fakeConn // each connection made
	closed   chan *fakeConn // each connection closed
	slow     func(ctx context.Context, dom libvirt.Domain) error
	register func(c *fakeConn)
	console  func(ctx context.Context) (io.ReadWriteCloser, error)
	upload   driver.Upload
	download driver.Download
}

func newBackend() *fakeBackend {
	return &fakeBackend{conns: make(chan *fakeConn, 100), closed: make(chan *fakeConn, 100)}
}

func (b *fakeBackend) connect(peer driver.Peer, readOnly bool, notify driver.Notifier) session {
	c := &fakeConn{peer: peer, readOnly: readOnly, notify: notify, backend: b}
	b.conns <- c
	return c
}

func (c *fakeConn) Open(uri string, flags libvirt.ConnectFlags) error {
	if uri == "xen:///" {
		return virerr.New(libvirt.ErrNoConnect, "URI %s", uri)
	}
	c.readOnly = c.readOnly || flags&1 != 0
	return nil
}

func (c *fakeConn) ReadOnly() bool { return c.readOnly }
func (c *fakeConn) Close()         { c.backend.closed <- c }

func (c *fakeConn) getType(context.Context) (*libvirt.ConnectGetTypeRet, error) {
	return &libvirt.ConnectGetTypeRet{Type: "FAKE"}, nil
}

var demo = libvirt.Domain{Name: "demo", UUID: libvirt.UUID{1, 2, 3}, ID: 7}

func (c *fakeConn) lookup(_ context.Context, a *libvirt.DomainLookupByNameArgs) (*libvirt.DomainLookupByNameRet, error) {
	if a.Name != demo.Name {
		return nil, virerr.New(libvirt.ErrNoDomain, "no domain with matching name '%s'", a.Name)
	}
	return &libvirt.DomainLookupByNameRet{Dom: demo}, nil
}

func (c *fakeConn) create(ctx context.Context, a *libvirt.DomainCreateArgs) error {
	return c.backend.slow(ctx, a.Dom)
}

func (c *fakeConn) panics(context.Context, *libvirt.DomainSuspendArgs) error { panic("of the test") }

func (c *fakeConn) nothing(context.Context, *libvirt.DomainGetInfoArgs) (*libvirt.DomainGetInfoRet, error) {
	return nil, nil
}

func (c *fakeConn) tooMuch(context.Context, *libvirt.DomainGetStateArgs) (*libvirt.DomainGetStateRet, error) {
	return nil, fmt.Errorf("plain error of %s", "the test")
}

func (c *fakeConn) bigXML(context.Context, *libvirt.DomainGetXMLDescArgs) (*libvirt.DomainGetXMLDescRet, error) {
	return &libvirt.DomainGetXMLDescRet{XML: string(make([]byte, 5<<20))}, nil
}

func (c *fakeConn) registerAny(_ context.Context, a *libvirt.ConnectDomainEventCallbackRegisterAnyArgs) (*libvirt.ConnectDomainEventCallbackRegisterAnyRet, error) {
	if c.backend.register != nil {
		c.backend.register(c)
	}
	return &libvirt.ConnectDomainEventCallbackRegisterAnyRet{CallbackID: 5}, nil
}

func (c *fakeConn) deregisterAny(context.Context, *libvirt.ConnectDomainEventCallbackDeregisterAnyArgs) error {
	return nil
}

func (c *fakeConn) openConsole(ctx context.Context, _ *libvirt.DomainOpenConsoleArgs) (io.ReadWriteCloser, error) {
	return c.backend.console(ctx)
}

func (c *fakeConn) openUpload(context.Context, *libvirt.StorageVolUploadArgs) (driver.Upload, error) {
	return c.backend.upload, nil
}

func (c *fakeConn) openDownload(context.Context, *libvirt.StorageVolDownloadArgs) (driver.Download, error) {
	return c.backend.download, nil
}

func fakeRows() []row {
	return []row{
		quick(proto.ConnectGetType, get((*fakeConn).getType)),
		quick(proto.DomainLookupByName, both((*fakeConn).lookup)),
		quick(proto.DomainGetInfo, both((*fakeConn).nothing)),
		quick(proto.DomainGetState, both((*fakeConn).tooMuch)),
		quick(proto.DomainGetXMLDesc, both((*fakeConn).bigXML)),
		call(proto.DomainCreate, do((*fakeConn).create)),
		call(proto.DomainSuspend, do((*fakeConn).panics)),
		register(proto.ConnectDomainEventCallbackRegisterAny, both((*fakeConn).registerAny)),
		register(proto.ConnectDomainEventCallbackDeregisterAny, do((*fakeConn).deregisterAny)),
		duplex(proto.DomainOpenConsole, (*fakeConn).openConsole),
		upload(proto.StorageVolUpload, (*fakeConn).openUpload),
		download(proto.StorageVolDownload, (*fakeConn).openDownload),
	}
}

// serving is a server of the fake backend on a socket of its own.
type serving struct {
	*Server
	backend *fakeBackend
	path    string
	stop    func() error
	changed chan int // the number of clients, after each change
}

func serve(t testing.TB, backend *fakeBackend, options Options) *serving {
	t.Helper()
	s := &serving{backend: backend, changed: make(chan int, 1000)}
	options.ClientsChanged = func(n int) { s.changed <- n }
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	s.Server = newServer(backend.connect, fakeRows(), options)
	dir, err := os.MkdirTemp("", "dispatch")
	if err != nil {
		t.Fatal(err)
	}
	s.path = filepath.Join(dir, "sock")
	listen := func(path string) net.Listener {
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	listeners := []Listener{{Listener: listen(s.path)}, {Listener: listen(s.path + "-ro"), ReadOnly: true}}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() {
		served <- s.Serve(ctx, listeners...)
		close(served)
	}()
	s.stop = func() error {
		cancel()
		select {
		case err := <-served:
			return err
		case <-time.After(patience):
			return fmt.Errorf("the server does not end")
		}
	}
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Errorf("serve: %v", err)
		}
		_ = os.RemoveAll(dir)
	})
	return s
}

// rawClient speaks packets.
type rawClient struct {
	t      testing.TB
	conn   *net.UnixConn
	reader *wire.Reader
	writer *wire.Writer
	serial uint32
}

func (s *serving) dial(t testing.TB) *rawClient { return dialPath(t, s.path) }

func dialPath(t testing.TB, path string) *rawClient {
	t.Helper()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(2 * patience)); err != nil {
		t.Fatal(err)
	}
	return &rawClient{t: t, conn: conn.(*net.UnixConn), reader: wire.NewReader(conn), writer: wire.NewWriter(conn)}
}

// open dials and opens the hypervisor connection.
func (s *serving) open(t testing.TB) *rawClient {
	t.Helper()
	c := s.dial(t)
	c.must(proto.ConnectOpen, &libvirt.ConnectOpenArgs{Name: libvirt.OptString{"uml:///system"}}, nil)
	return c
}

// conn returns the driver's side of the newest connection.
func (s *serving) conn(t testing.TB) *fakeConn {
	t.Helper()
	return receive(t, s.backend.conns)
}

func receive[T any](t testing.TB, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

func callHeader(procedure int32, serial uint32) wire.Header {
	return wire.Header{Program: proto.ProgramRemote, Version: 1, Procedure: procedure, Type: wire.Call, Serial: serial}
}

// send sends a packet with an encoded message, or with bytes as they are.
func (c *rawClient) send(h wire.Header, message any) {
	c.t.Helper()
	packet := wire.Begin(nil, h)
	if raw, ok := message.([]byte); ok {
		packet = append(packet, raw...)
	} else {
		var err error
		if packet, err = proto.Codec.Append(packet, message); err != nil {
			c.t.Fatal(err)
		}
	}
	if err := wire.Finish(packet); err != nil {
		c.t.Fatal(err)
	}
	if err := c.writer.Write(packet); err != nil {
		c.t.Fatal(err)
	}
}

// call sends a call and returns its serial.
func (c *rawClient) call(procedure int32, args any) uint32 {
	c.t.Helper()
	c.serial++
	c.send(callHeader(procedure, c.serial), args)
	return c.serial
}

// next reads a packet; its payload is a copy.
func (c *rawClient) next() (wire.Header, []byte) {
	c.t.Helper()
	h, payload, err := c.reader.Next()
	if err != nil {
		c.t.Fatalf("cannot read a packet: %v", err)
	}
	return h, append([]byte(nil), payload...)
}

// must calls and decodes the reply into ret, which may be nil.
func (c *rawClient) must(procedure int32, args, ret any) {
	c.t.Helper()
	serial := c.call(procedure, args)
	h, payload := c.next()
	if h.Status == wire.Error {
		c.t.Fatalf("procedure %d failed: %s", procedure, decodeError(c.t, payload).Message)
	}
	if want := replyTo(callHeader(procedure, serial), wire.OK); h != want {
		c.t.Fatalf("got %+v, want %+v", h, want)
	}
	decode(c.t, payload, ret)
}

func decode(t testing.TB, payload []byte, message any) {
	t.Helper()
	if message == nil {
		if len(payload) > 0 {
			t.Fatalf("a payload of %d bytes, want none", len(payload))
		}
		return
	}
	plan, err := proto.Codec.Plan(reflect.TypeOf(message).Elem())
	if err != nil {
		t.Fatal(err)
	}
	if err := plan.Decode(payload, message); err != nil {
		t.Fatal(err)
	}
}

func decodeError(t testing.TB, payload []byte) proto.Error {
	t.Helper()
	var e proto.Error
	decode(t, payload, &e)
	return e
}

// ended waits for the server to close the connection.
func (c *rawClient) ended() {
	c.t.Helper()
	for {
		if _, _, err := c.reader.Next(); err != nil {
			if isTimeout(err) {
				c.t.Fatal("the connection stays open")
			}
			return
		}
	}
}

func isTimeout(err error) bool {
	netErr, ok := err.(net.Error)
	return ok && netErr.Timeout()
}
