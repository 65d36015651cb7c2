package dispatch

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"testing"

	libvirt "github.com/digitalocean/go-libvirt"
	"github.com/digitalocean/go-libvirt/socket/dialers"

	"virtumld/internal/proto"
	"virtumld/internal/virerr"
)

// goClient connects go-libvirt's client.
func (s *serving) goClient(t *testing.T) *libvirt.Libvirt {
	t.Helper()
	l := libvirt.NewWithDialer(dialers.NewLocal(dialers.WithSocket(s.path)))
	if err := l.ConnectToURI("uml:///system"); err != nil {
		t.Fatal(err)
	}
	return l
}

func TestGoLibvirtCalls(t *testing.T) {
	t.Parallel()
	backend := newBackend()
	backend.slow = func(context.Context, libvirt.Domain) error {
		return virerr.New(libvirt.ErrOperationInvalid, "domain is already running")
	}
	l := serve(t, backend, Options{}).goClient(t)
	typ, err := l.ConnectGetType()
	if err != nil || typ != "FAKE" {
		t.Errorf("type %q, %v", typ, err)
	}
	dom, err := l.DomainLookupByName("demo")
	if err != nil || dom != demo {
		t.Errorf("domain %+v, %v", dom, err)
	}
	for code, call := range map[libvirt.ErrorNumber]func() error{
		libvirt.ErrNoDomain:         func() error { _, err := l.DomainLookupByName("other"); return err },
		libvirt.ErrOperationInvalid: func() error { return l.DomainCreate(demo) },
		libvirt.ErrNoSupport:        func() error { return l.DomainSave(demo, "/x") },
	} {
		var e libvirt.Error
		if err := call(); !errors.As(err, &e) || e.Code != uint32(code) {
			t.Errorf("error %v, want code %d", err, code)
		}
	}
	if err := l.Disconnect(); err != nil {
		t.Errorf("disconnect: %v", err)
	}
}

func TestGoLibvirtEvents(t *testing.T) {
	t.Parallel()
	server := serve(t, newBackend(), Options{})
	l := server.goClient(t)
	conn := server.conn(t)
	ctx, cancel := context.WithCancel(t.Context())
	events, err := l.SubscribeEvents(ctx, libvirt.DomainEventIDLifecycle, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range int32(50) {
		conn.notify.Notify(proto.DomainEventCallbackLifecycle, lifecycle(i))
	}
	for i := range int32(50) {
		msg, ok := receive(t, events).(*libvirt.DomainEventCallbackLifecycleMsg)
		if !ok || msg.Msg.Event != i || msg.Msg.Dom != demo {
			t.Fatalf("event %d: %+v", i, msg)
		}
	}
	cancel()
	if err := l.Disconnect(); err != nil {
		t.Errorf("disconnect: %v", err)
	}
}

// lockedBuffer collects what a stream brings.
type lockedBuffer struct {
	mu  sync.Mutex // guards: buf
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func TestGoLibvirtStream(t *testing.T) {
	t.Parallel()
	console := newConsole(t)
	backend := newBackend()
	backend.console = func(context.Context) (io.ReadWriteCloser, error) { return console, nil }
	l := serve(t, backend, Options{}).goClient(t)
	want := bytes.Repeat([]byte("0123456789abcdef"), 20000)
	go func() {
		_, _ = console.guest.Write(want) // the test sees what is missing
		_ = console.guest.Close()
	}()
	var got lockedBuffer
	if err := l.DomainOpenConsole(demo, nil, &got, 0); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.buf.Bytes(), want) {
		t.Errorf("%d bytes came, %d were sent", got.buf.Len(), len(want))
	}
	if err := l.Disconnect(); err != nil {
		t.Errorf("disconnect: %v", err)
	}
}
