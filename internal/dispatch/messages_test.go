package dispatch

import (
	"strings"
	"sync"
	"testing"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/proto"
	"virtumld/internal/wire"
)

func lifecycle(id int32) *libvirt.DomainEventCallbackLifecycleMsg {
	return &libvirt.DomainEventCallbackLifecycleMsg{
		CallbackID: 5, Msg: libvirt.DomainEventLifecycleMsg{Dom: demo, Event: id},
	}
}

func TestEventsArriveInOrder(t *testing.T) {
	t.Parallel()
	server := serve(t, newBackend(), Options{})
	c := server.open(t)
	conn := server.conn(t)
	const events = 2000
	var sent sync.WaitGroup
	sent.Go(func() {
		for i := range events {
			conn.notify.Notify(proto.DomainEventCallbackLifecycle, lifecycle(int32(i)))
		}
	})
	want := wire.Header{
		Program: proto.ProgramRemote, Version: 1, Procedure: proto.DomainEventCallbackLifecycle,
		Type: wire.Message, Serial: 1,
	}
	for i := range events {
		h, payload := c.next()
		var msg libvirt.DomainEventCallbackLifecycleMsg
		decode(t, payload, &msg)
		if h != want || msg.Msg.Event != int32(i) {
			t.Fatalf("event %d: got %+v, %+v", i, h, msg)
		}
	}
	sent.Wait()
}

// An event that is raised while its callback is being registered comes after
// the reply with the callback's id.
func TestReplyToRegisterComesBeforeEvents(t *testing.T) {
	t.Parallel()
	backend := newBackend()
	backend.register = func(c *fakeConn) {
		c.notify.Notify(proto.DomainEventCallbackLifecycle, lifecycle(1))
	}
	c := serve(t, backend, Options{}).open(t)
	for range 100 {
		serial := c.call(proto.ConnectDomainEventCallbackRegisterAny, &libvirt.ConnectDomainEventCallbackRegisterAnyArgs{})
		if h, _ := c.next(); h.Type != wire.Reply || h.Serial != serial {
			t.Fatalf("got %+v first", h)
		}
		if h, _ := c.next(); h.Type != wire.Message {
			t.Fatalf("got %+v second", h)
		}
	}
}

// A client that reads nothing is disconnected when too much waits for it, and
// telling it never waits.
func TestClientThatDoesNotReadEvents(t *testing.T) {
	t.Parallel()
	backend := newBackend()
	server := serve(t, backend, Options{})
	c := server.open(t)
	conn := server.conn(t)
	message := &libvirt.DomainEventCallbackMetadataChangeMsg{
		Dom: demo, Nsuri: libvirt.OptString{strings.Repeat("x", 64<<10)},
	}
	for range 2 * maxQueued / (64 << 10) {
		conn.notify.Notify(proto.DomainEventCallbackMetadataChange, message)
	}
	if receive(t, backend.closed) != conn {
		t.Error("another session was closed")
	}
	c.ended()
	conn.notify.Notify(proto.DomainEventCallbackMetadataChange, message) // is dropped
}

func TestEventThatCannotBeEncoded(t *testing.T) {
	t.Parallel()
	server := serve(t, newBackend(), Options{})
	c := server.open(t)
	conn := server.conn(t)
	conn.notify.Notify(proto.DomainEventCallbackLifecycle, 42)
	conn.notify.Notify(proto.DomainEventCallbackLifecycle, lifecycle(1))
	if h, _ := c.next(); h.Type != wire.Message {
		t.Errorf("got %+v", h)
	}
}
