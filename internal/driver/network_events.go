package driver

import (
	"context"
	"sync"

	libvirt "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"

	"virtumld/internal/network"
	"virtumld/internal/proto"
	"virtumld/internal/virerr"
)

// networkEvents are a client's callbacks for networks.
type networkEvents struct {
	subscribed  sync.Once
	unsubscribe func() // nil before the first registration

	mu        sync.Mutex // guards what follows; taken after the networks' own
	lastID    int32
	callbacks map[int32]networkCallback
}

type networkCallback struct {
	event libvirt.NetworkEventID
	// network is the only one to hear of, uuid.Nil for all.
	network uuid.UUID
}

// ConnectNetworkEventRegisterAny registers for one event, of one network or of
// all.
func (c *Conn) ConnectNetworkEventRegisterAny(_ context.Context, a *libvirt.ConnectNetworkEventRegisterAnyArgs) (*libvirt.ConnectNetworkEventRegisterAnyRet, error) {
	if a.EventID < 0 || a.EventID > int32(libvirt.NetworkEventIDMetadataChange) {
		return nil, virerr.In(virerr.Remote, libvirt.ErrInternalError, "unsupported network event ID %d", a.EventID)
	}
	cb := networkCallback{event: libvirt.NetworkEventID(a.EventID)}
	if len(a.Net) > 0 {
		cb.network = uuid.UUID(a.Net[0].UUID)
	}
	e := &c.networkEvents
	// Without e.mu: tell takes it with the networks' own lock held.
	e.subscribed.Do(func() { e.unsubscribe = c.driver.networks.Subscribe(c.tellNetwork) })
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.callbacks == nil {
		e.callbacks = make(map[int32]networkCallback)
	}
	e.lastID++
	e.callbacks[e.lastID] = cb
	return &libvirt.ConnectNetworkEventRegisterAnyRet{CallbackID: e.lastID}, nil
}

// ConnectNetworkEventDeregisterAny ends one registration.
func (c *Conn) ConnectNetworkEventDeregisterAny(_ context.Context, a *libvirt.ConnectNetworkEventDeregisterAnyArgs) error {
	e := &c.networkEvents
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, found := e.callbacks[a.CallbackID]; !found {
		return virerr.In(virerr.Remote, libvirt.ErrInternalError, "network event callback %d not registered", a.CallbackID)
	}
	delete(e.callbacks, a.CallbackID)
	return nil
}

// drop ends the subscription; no registration may be under way.
func (e *networkEvents) drop() {
	e.subscribed.Do(func() {})
	if e.unsubscribe != nil {
		e.unsubscribe()
	}
}

// tellNetwork passes an event on to the client's callbacks.
func (c *Conn) tellNetwork(event network.Event) {
	id := libvirt.NetworkEventIDLifecycle
	if event.Metadata {
		id = libvirt.NetworkEventIDMetadataChange
	}
	e := &c.networkEvents
	e.mu.Lock()
	defer e.mu.Unlock()
	for callbackID, cb := range e.callbacks {
		if cb.event == id && (cb.network == uuid.Nil || cb.network == event.Network.UUID) {
			c.notify.Notify(networkMessage(callbackID, event))
		}
	}
}

func networkMessage(id int32, event network.Event) (procedure int32, message any) {
	object := networkObject(event.Network)
	if event.Metadata {
		return proto.NetworkEventCallbackMetadataChange, &libvirt.NetworkEventCallbackMetadataChangeMsg{
			CallbackID: id, Net: object, Type: event.Kind, Nsuri: orAbsent(event.URI),
		}
	}
	return proto.NetworkEventLifecycle, &libvirt.NetworkEventLifecycleMsg{
		CallbackID: id, Net: object, Event: int32(event.Lifecycle),
	}
}
