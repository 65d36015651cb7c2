package dispatch

import (
	"context"
	"errors"
	"sync"
	"testing"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/driver"
	"virtumld/internal/proto"
	"virtumld/internal/wire"
)

// The calls that virsh makes around its command's own.
func TestConnectionOfVirsh(t *testing.T) {
	t.Parallel()
	c := serve(t, newBackend(), Options{}).dial(t)

	var auth libvirt.AuthListRet
	c.must(proto.AuthList, nil, &auth)
	if len(auth.Types) != 1 || auth.Types[0] != proto.AuthTypeNone {
		t.Errorf("authentication types %v", auth.Types)
	}
	supports := func(feature int32) int32 {
		var ret libvirt.ConnectSupportsFeatureRet
		c.must(proto.ConnectSupportsFeature, &libvirt.ConnectSupportsFeatureArgs{Feature: feature}, &ret)
		return ret.Supported
	}
	if supports(proto.FeatureProgramKeepalive) != 1 {
		t.Error("keepalive is not supported")
	}
	c.must(proto.ConnectOpen, &libvirt.ConnectOpenArgs{Name: libvirt.OptString{"uml:///system"}}, nil)
	for feature, want := range map[int32]int32{8: 0, 9: 1, 11: 1, 14: 1, 15: 1, 16: 1, 1: 0, 2: 0, 99: 0, -1: 0} {
		if got := supports(feature); got != want {
			t.Errorf("feature %d: %d, want %d", feature, got, want)
		}
	}
	c.must(proto.ConnectRegisterCloseCallback, nil, nil)
	var typ libvirt.ConnectGetTypeRet
	c.must(proto.ConnectGetType, nil, &typ)
	if typ.Type != "FAKE" {
		t.Errorf("type %q", typ.Type)
	}
	c.must(proto.ConnectUnregisterCloseCallback, nil, nil)
	c.must(proto.ConnectClose, nil, nil)
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	server := serve(t, newBackend(), Options{})
	dom := &libvirt.DomainGetInfoArgs{Dom: demo}
	for _, tt := range []struct {
		name    string
		before  func(*rawClient)
		header  wire.Header
		args    any
		code    int32
		domain  int32
		message string
	}{
		{"unknown program", open, wire.Header{Program: 0x12345, Version: 1, Procedure: 1}, nil,
			39, 7, "Cannot find program 74565 version 1"},
		{"unknown version", open, wire.Header{Program: proto.ProgramRemote, Version: 2, Procedure: 1}, nil,
			39, 7, "Cannot find program 536903814 version 2"},
		{"unknown procedure", open, callHeader(9999, 0), nil, 39, 7, "unknown procedure: 9999"},
		{"negative procedure", open, callHeader(-5, 0), nil, 39, 7, "unknown procedure: -5"},
		{"procedure of the server's messages", open, callHeader(proto.DomainEventLifecycle, 0), nil,
			39, 7, "unknown procedure: 107"},
		{"status in a call", open,
			wire.Header{Program: proto.ProgramRemote, Version: 1, Procedure: proto.ConnectGetType, Status: wire.Error}, nil,
			39, 7, "Unexpected message status 1"},
		{"before open", nil, callHeader(proto.ConnectGetType, 0), nil,
			1, 7, "internal error: hypervisor connection not open"},
		{"close callback before open", nil, callHeader(proto.ConnectRegisterCloseCallback, 0), nil,
			1, 7, "internal error: hypervisor connection not open"},
		{"second open", open, callHeader(proto.ConnectOpen, 0), &libvirt.ConnectOpenArgs{},
			1, 7, "internal error: connection already open"},
		{"other driver", nil, callHeader(proto.ConnectOpen, 0), &libvirt.ConnectOpenArgs{Name: libvirt.OptString{"xen:///"}},
			5, 20, "no connection driver available for URI xen:///"},
		{"known, not offered", open, callHeader(proto.DomainSave, 0), &libvirt.DomainSaveArgs{Dom: demo, To: "/x"},
			3, 20, "this function is not supported by the connection driver: virDomainSave"},
		{"known, not offered, storage", open, callHeader(proto.StoragePoolBuild, 0), nil,
			3, 18, "this function is not supported by the connection driver: virStoragePoolBuild"},
		{"qemu program", open, wire.Header{Program: proto.ProgramQEMU, Version: 1, Procedure: proto.QEMUDomainMonitorCommand}, nil,
			3, 0, "this function is not supported by the connection driver: virDomainQemuMonitorCommand"},
		{"lxc program", open, wire.Header{Program: proto.ProgramLXC, Version: 1, Procedure: 1}, nil,
			3, 0, "this function is not supported by the connection driver: virDomainLxcOpenNamespace"},
		{"read-only by flag", openReadOnly, callHeader(proto.DomainCreate, 0), &libvirt.DomainCreateArgs{Dom: demo},
			29, 20, "operation forbidden: read only access prevents virDomainCreate"},
		{"read-only goes before not offered", openReadOnly, callHeader(proto.StoragePoolBuild, 0), nil,
			29, 18, "operation forbidden: read only access prevents virStoragePoolBuild"},
		{"arguments cut short", open, callHeader(proto.DomainGetInfo, 0), []byte{0, 0, 0, 9, 'x'},
			39, 7, "cannot decode the arguments: DomainGetInfoArgs.Dom.Name: 9 elements announced, 1 bytes left"},
		{"arguments where none are", open, callHeader(proto.ConnectGetType, 0), []byte{0, 0, 0, 0},
			39, 7, "the call takes no arguments, but has 4 bytes of them"},
		{"error of the driver", open, callHeader(proto.DomainLookupByName, 0), &libvirt.DomainLookupByNameArgs{Name: "x"},
			42, 20, "Domain not found: no domain with matching name 'x'"},
		{"error without a code", open, callHeader(proto.DomainGetState, 0), &libvirt.DomainGetStateArgs{Dom: demo},
			1, 21, "internal error: plain error of the test"},
		{"panic", open, callHeader(proto.DomainSuspend, 0), &libvirt.DomainSuspendArgs{Dom: demo},
			1, 20, "internal error: virDomainSuspend failed unexpectedly; the daemon's log has the details"},
		{"no reply from the driver", open, callHeader(proto.DomainGetInfo, 0), dom,
			39, 7, "cannot encode the reply: cannot use *libvirt.DomainGetInfoRet with the plan of libvirt.DomainGetInfoRet"},
		{"reply that does not fit", open, callHeader(proto.DomainGetXMLDesc, 0), &libvirt.DomainGetXMLDescArgs{Dom: demo},
			39, 7, "cannot encode the reply: DomainGetXMLDescRet.XML: the string holds a NUL"},
		{"close callback unregistered first", open, callHeader(proto.ConnectUnregisterCloseCallback, 0), nil,
			55, 20, "Requested operation is not valid: A close callback is not registered"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := server.dial(t)
			if tt.before != nil {
				tt.before(c)
			}
			tt.header.Serial = 77
			c.send(tt.header, tt.args)
			h, payload := c.next()
			if want := replyTo(tt.header, wire.Error); h != want {
				t.Fatalf("header %+v, want %+v", h, want)
			}
			e := decodeError(t, payload)
			if e.Code != tt.code || e.Domain != tt.domain || e.Message[0] != tt.message || e.Level != 2 {
				t.Errorf("error %d/%d %q, want %d/%d %q", e.Code, e.Domain, e.Message, tt.code, tt.domain, tt.message)
			}
			if len(e.Str1) != 1 || e.Int1 != noInt || len(e.Dom) > 0 {
				t.Errorf("error fields %+v", e)
			}
			// The connection goes on.
			c.must(proto.AuthList, nil, new(libvirt.AuthListRet))
		})
	}
}

func open(c *rawClient) {
	c.must(proto.ConnectOpen, &libvirt.ConnectOpenArgs{}, nil)
}

func openReadOnly(c *rawClient) {
	c.must(proto.ConnectOpen, &libvirt.ConnectOpenArgs{Flags: 1}, nil)
}

func TestReadOnlySocket(t *testing.T) {
	t.Parallel()
	server := serve(t, newBackend(), Options{})
	c := dialPath(t, server.path+"-ro")
	open(c)
	c.must(proto.DomainLookupByName, &libvirt.DomainLookupByNameArgs{Name: "demo"}, new(libvirt.DomainLookupByNameRet))
	c.call(proto.DomainOpenConsole, &libvirt.DomainOpenConsoleArgs{Dom: demo})
	if _, payload := c.next(); decodeError(t, payload).Code != int32(libvirt.ErrOperationDenied) {
		t.Error("a console was opened on the read-only socket")
	}
}

// strictAuthentication lets nobody in.
type strictAuthentication struct{}

func (strictAuthentication) Types() []libvirt.AuthType {
	return []libvirt.AuthType{proto.AuthTypePolkit}
}
func (strictAuthentication) Done() bool { return false }

func TestNotAuthenticated(t *testing.T) {
	t.Parallel()
	server := serve(t, newBackend(), Options{
		Authenticate: func(driver.Peer, bool) Authentication { return strictAuthentication{} },
	})
	c := server.dial(t)
	var auth libvirt.AuthListRet
	c.must(proto.AuthList, nil, &auth)
	if len(auth.Types) != 1 || auth.Types[0] != proto.AuthTypePolkit {
		t.Errorf("authentication types %v", auth.Types)
	}
	for _, procedure := range []int32{
		proto.ConnectOpen, proto.ConnectSupportsFeature, proto.ConnectGetType, proto.DomainCreate, proto.StoragePoolBuild,
	} {
		c.call(procedure, nil)
		_, payload := c.next()
		if e := decodeError(t, payload); e.Code != 39 || e.Message[0] != "authentication required" {
			t.Errorf("procedure %d: error %d %q", procedure, e.Code, e.Message)
		}
	}
}

// A call that takes its time holds up neither quick calls nor pings, and
// replies come as they are ready.
func TestSlowCallsHoldUpNothing(t *testing.T) {
	t.Parallel()
	backend := newBackend()
	release := map[string]chan struct{}{"a": make(chan struct{}), "b": make(chan struct{})}
	backend.slow = func(_ context.Context, dom libvirt.Domain) error {
		<-release[dom.Name]
		return nil
	}
	c := serve(t, backend, Options{}).open(t)
	a := c.call(proto.DomainCreate, &libvirt.DomainCreateArgs{Dom: libvirt.Domain{Name: "a"}})
	b := c.call(proto.DomainCreate, &libvirt.DomainCreateArgs{Dom: libvirt.Domain{Name: "b"}})
	c.must(proto.ConnectGetType, nil, new(libvirt.ConnectGetTypeRet))

	c.send(keepaliveHeader(proto.KeepalivePing), nil)
	if h, _ := c.next(); h != keepaliveHeader(proto.KeepalivePong) {
		t.Errorf("got %+v for a ping", h)
	}
	close(release["b"])
	if h, _ := c.next(); h.Serial != b || h.Status != wire.OK {
		t.Errorf("got %+v, want the reply to b", h)
	}
	close(release["a"])
	if h, _ := c.next(); h.Serial != a || h.Status != wire.OK {
		t.Errorf("got %+v, want the reply to a", h)
	}
}

func TestRequestLimit(t *testing.T) {
	t.Parallel()
	const limit, calls = 3, 20
	backend := newBackend()
	started := make(chan struct{}, calls)
	proceed := make(chan struct{})
	var mu sync.Mutex
	running, most := 0, 0
	backend.slow = func(context.Context, libvirt.Domain) error {
		mu.Lock()
		running++
		most = max(most, running)
		mu.Unlock()
		started <- struct{}{}
		<-proceed
		mu.Lock()
		running--
		mu.Unlock()
		return nil
	}
	c := serve(t, backend, Options{MaxRequests: limit}).open(t)
	for range calls {
		c.call(proto.DomainCreate, &libvirt.DomainCreateArgs{Dom: demo})
	}
	for range limit {
		receive(t, started)
	}
	close(proceed)
	replied := make(map[uint32]bool)
	for range calls {
		h, _ := c.next()
		replied[h.Serial] = true
	}
	if len(replied) != calls {
		t.Errorf("%d of %d calls were answered", len(replied), calls)
	}
	if most != limit {
		t.Errorf("%d calls ran at a time, want %d", most, limit)
	}
}

// When a client goes, the contexts of its calls end, and its session is closed
// after the last of them.
func TestClientVanishesDuringCalls(t *testing.T) {
	t.Parallel()
	backend := newBackend()
	started, ended := make(chan struct{}), make(chan error, 1)
	backend.slow = func(ctx context.Context, _ libvirt.Domain) error {
		close(started)
		<-ctx.Done()
		ended <- ctx.Err()
		return ctx.Err()
	}
	server := serve(t, backend, Options{})
	c := server.open(t)
	conn := server.conn(t)
	c.call(proto.DomainCreate, &libvirt.DomainCreateArgs{Dom: demo})
	receive(t, started)
	if err := c.conn.Close(); err != nil {
		t.Fatal(err)
	}
	if closed := receive(t, backend.closed); closed != conn {
		t.Error("another session was closed")
	}
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("the call's context ended with %v", err)
		}
	default:
		t.Error("the session was closed while a call ran")
	}
}
