package driver

import (
	"context"

	libvirt "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"

	"virtumld/internal/domain"
	"virtumld/internal/proto"
	"virtumld/internal/virerr"
)

// lastEvent is the highest virDomainEventID of libvirt 9.0. Every id up to it
// can be registered; the ones that a UML guest has no cause for never come.
const lastEvent = libvirt.DomainEventIDMemoryDeviceSizeChange

// registrations are a client's event callbacks.
type registrations struct {
	lastID int32
	// callbacks are those of today's clients, by callback id.
	callbacks map[int32]callback
	// plain are the event ids that an old client asked for without a
	// callback id; it has at most one callback an event.
	plain map[libvirt.DomainEventID]bool
}

type callback struct {
	event libvirt.DomainEventID
	// domain is the only one to hear of, uuid.Nil for all.
	domain uuid.UUID
}

// ConnectDomainEventCallbackRegisterAny registers for one event, of one domain
// or of all.
func (c *Conn) ConnectDomainEventCallbackRegisterAny(_ context.Context, a *libvirt.ConnectDomainEventCallbackRegisterAnyArgs) (*libvirt.ConnectDomainEventCallbackRegisterAnyRet, error) {
	if err := checkEvent(a.EventID); err != nil {
		return nil, err
	}
	cb := callback{event: libvirt.DomainEventID(a.EventID)}
	if len(a.Dom) > 0 {
		v, err := c.view(a.Dom[0])
		if err != nil {
			return nil, err
		}
		cb.domain = v.UUID
	}
	c.subscribe()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.events.callbacks == nil {
		c.events.callbacks = make(map[int32]callback)
	}
	c.events.lastID++
	c.events.callbacks[c.events.lastID] = cb
	return &libvirt.ConnectDomainEventCallbackRegisterAnyRet{CallbackID: c.events.lastID}, nil
}

// ConnectDomainEventCallbackDeregisterAny ends one registration.
func (c *Conn) ConnectDomainEventCallbackDeregisterAny(_ context.Context, a *libvirt.ConnectDomainEventCallbackDeregisterAnyArgs) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, found := c.events.callbacks[a.CallbackID]; !found {
		return virerr.In(virerr.Remote, libvirt.ErrInternalError, "domain event callback %d not registered", a.CallbackID)
	}
	delete(c.events.callbacks, a.CallbackID)
	return nil
}

// ConnectDomainEventRegister is an old client's way to lifecycle events.
func (c *Conn) ConnectDomainEventRegister(context.Context) (*libvirt.ConnectDomainEventRegisterRet, error) {
	if err := c.registerPlain(int32(libvirt.DomainEventIDLifecycle)); err != nil {
		return nil, err
	}
	return &libvirt.ConnectDomainEventRegisterRet{CbRegistered: 1}, nil
}

// ConnectDomainEventDeregister undoes ConnectDomainEventRegister.
func (c *Conn) ConnectDomainEventDeregister(context.Context) (*libvirt.ConnectDomainEventDeregisterRet, error) {
	if err := c.deregisterPlain(int32(libvirt.DomainEventIDLifecycle)); err != nil {
		return nil, err
	}
	return &libvirt.ConnectDomainEventDeregisterRet{CbRegistered: 0}, nil
}

// ConnectDomainEventRegisterAny is an old client's way to any event.
func (c *Conn) ConnectDomainEventRegisterAny(_ context.Context, a *libvirt.ConnectDomainEventRegisterAnyArgs) error {
	return c.registerPlain(a.EventID)
}

// ConnectDomainEventDeregisterAny undoes ConnectDomainEventRegisterAny.
func (c *Conn) ConnectDomainEventDeregisterAny(_ context.Context, a *libvirt.ConnectDomainEventDeregisterAnyArgs) error {
	return c.deregisterPlain(a.EventID)
}

func (c *Conn) registerPlain(event int32) error {
	if err := checkEvent(event); err != nil {
		return err
	}
	c.subscribe()
	c.mu.Lock()
	defer c.mu.Unlock()
	id := libvirt.DomainEventID(event)
	if c.events.plain[id] {
		return virerr.In(virerr.Remote, libvirt.ErrInternalError, "domain event %d already registered", event)
	}
	if c.events.plain == nil {
		c.events.plain = make(map[libvirt.DomainEventID]bool)
	}
	c.events.plain[id] = true
	return nil
}

func (c *Conn) deregisterPlain(event int32) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := libvirt.DomainEventID(event)
	if !c.events.plain[id] {
		return virerr.In(virerr.Remote, libvirt.ErrInternalError, "domain event %d not registered", event)
	}
	delete(c.events.plain, id)
	return nil
}

func checkEvent(event int32) error {
	if event < 0 || event > int32(lastEvent) {
		return virerr.In(virerr.Remote, libvirt.ErrInternalError, "unsupported event ID %d", event)
	}
	return nil
}

// subscribe begins to listen to the bus at a client's first registration. It
// is called without c.mu: the bus calls tell, which takes c.mu, with the bus's
// own lock held.
func (c *Conn) subscribe() {
	c.subscribed.Do(func() { c.unsubscribe = c.driver.bus.Subscribe(c.tell) })
}

// dropEvents ends the subscription; no registration may be under way.
func (c *Conn) dropEvents() {
	c.subscribed.Do(func() {})
	if c.unsubscribe != nil {
		c.unsubscribe()
	}
}

// tell passes a change on to the client's callbacks.
func (c *Conn) tell(change domain.Change) {
	event := eventID(change)
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, cb := range c.events.callbacks {
		if cb.event == event && (cb.domain == uuid.Nil || cb.domain == change.Domain.UUID) {
			c.notify.Notify(callbackMessage(id, change))
		}
	}
	if c.events.plain[event] && event != libvirt.DomainEventIDMetadataChange && event != libvirt.DomainEventIDDeviceAdded {
		c.notify.Notify(plainMessage(change))
	}
}

func eventID(change domain.Change) libvirt.DomainEventID {
	switch {
	case change.Lifecycle != nil:
		return libvirt.DomainEventIDLifecycle
	case change.Reboot != nil:
		return libvirt.DomainEventIDReboot
	case change.Device != nil && change.Device.Added:
		return libvirt.DomainEventIDDeviceAdded
	case change.Device != nil:
		return libvirt.DomainEventIDDeviceRemoved
	default:
		return libvirt.DomainEventIDMetadataChange
	}
}

// callbackMessage is change as today's clients get it.
func callbackMessage(id int32, change domain.Change) (procedure int32, message any) {
	dom := object(change.Domain)
	switch {
	case change.Lifecycle != nil:
		return proto.DomainEventCallbackLifecycle, &libvirt.DomainEventCallbackLifecycleMsg{
			CallbackID: id, Msg: lifecycleMessage(change),
		}
	case change.Reboot != nil:
		return proto.DomainEventCallbackReboot, &libvirt.DomainEventCallbackRebootMsg{
			CallbackID: id, Msg: libvirt.DomainEventRebootMsg{Dom: dom},
		}
	case change.Device != nil:
		return deviceMessage(id, change)
	default:
		msg := &libvirt.DomainEventCallbackMetadataChangeMsg{
			CallbackID: id, Dom: dom, Type: int32(change.Metadata.Type),
		}
		if change.Metadata.URI != "" {
			msg.Nsuri = libvirt.OptString{change.Metadata.URI}
		}
		return proto.DomainEventCallbackMetadataChange, msg
	}
}

func deviceMessage(id int32, change domain.Change) (procedure int32, message any) {
	dom, alias := object(change.Domain), change.Device.Alias
	if change.Device.Added {
		return proto.DomainEventCallbackDeviceAdded, &libvirt.DomainEventCallbackDeviceAddedMsg{
			CallbackID: id, Dom: dom, DevAlias: alias,
		}
	}
	return proto.DomainEventCallbackDeviceRemoved, &libvirt.DomainEventCallbackDeviceRemovedMsg{
		CallbackID: id, Msg: libvirt.DomainEventDeviceRemovedMsg{Dom: dom, DevAlias: alias},
	}
}

// plainMessage is change as old clients get it. They know neither metadata
// events nor those of added devices, which came with callback ids.
func plainMessage(change domain.Change) (procedure int32, message any) {
	switch {
	case change.Reboot != nil:
		return proto.DomainEventReboot, &libvirt.DomainEventRebootMsg{Dom: object(change.Domain)}
	case change.Device != nil:
		return proto.DomainEventDeviceRemoved, &libvirt.DomainEventDeviceRemovedMsg{
			Dom: object(change.Domain), DevAlias: change.Device.Alias,
		}
	}
	msg := lifecycleMessage(change)
	return proto.DomainEventLifecycle, &msg
}

func lifecycleMessage(change domain.Change) libvirt.DomainEventLifecycleMsg {
	return libvirt.DomainEventLifecycleMsg{
		Dom: object(change.Domain), Event: int32(change.Lifecycle.Event), Detail: change.Lifecycle.Detail,
	}
}
