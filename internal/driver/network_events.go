package driver

import (
	"context"

	libvirt "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"

	"virtumld/internal/network"
	"virtumld/internal/proto"
	"virtumld/internal/virerr"
)

// ConnectNetworkEventRegisterAny registers for one event, of one network or of
// all.
func (c *Conn) ConnectNetworkEventRegisterAny(_ context.Context, a *libvirt.ConnectNetworkEventRegisterAnyArgs) (*libvirt.ConnectNetworkEventRegisterAnyRet, error) {
	if a.EventID < 0 || a.EventID > int32(libvirt.NetworkEventIDMetadataChange) {
		return nil, virerr.In(virerr.Remote, libvirt.ErrInternalError, "unsupported network event ID %d", a.EventID)
	}
	cb := interest{event: a.EventID}
	if len(a.Net) > 0 {
		cb.object = uuid.UUID(a.Net[0].UUID)
	}
	id := c.networkEvents.add(cb, func() func() { return c.driver.networks.Subscribe(c.tellNetwork) })
	return &libvirt.ConnectNetworkEventRegisterAnyRet{CallbackID: id}, nil
}

// ConnectNetworkEventDeregisterAny ends one registration.
func (c *Conn) ConnectNetworkEventDeregisterAny(_ context.Context, a *libvirt.ConnectNetworkEventDeregisterAnyArgs) error {
	if !c.networkEvents.remove(a.CallbackID) {
		return virerr.In(virerr.Remote, libvirt.ErrInternalError, "network event callback %d not registered", a.CallbackID)
	}
	return nil
}

// tellNetwork passes an event on to the client's callbacks.
func (c *Conn) tellNetwork(event network.Event) {
	id := libvirt.NetworkEventIDLifecycle
	if event.Metadata {
		id = libvirt.NetworkEventIDMetadataChange
	}
	c.networkEvents.each(int32(id), event.Network.UUID, func(callbackID int32) {
		c.notify.Notify(networkMessage(callbackID, event))
	})
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
