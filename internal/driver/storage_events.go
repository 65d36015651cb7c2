package driver

import (
	"context"

	libvirt "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"

	"virtumld/internal/proto"
	"virtumld/internal/storage"
	"virtumld/internal/virerr"
)

// ConnectStoragePoolEventRegisterAny registers for one event, of one pool or
// of all.
func (c *Conn) ConnectStoragePoolEventRegisterAny(_ context.Context, a *libvirt.ConnectStoragePoolEventRegisterAnyArgs) (*libvirt.ConnectStoragePoolEventRegisterAnyRet, error) {
	if a.EventID < 0 || a.EventID > int32(libvirt.StoragePoolEventIDRefresh) {
		return nil, virerr.In(virerr.Remote, libvirt.ErrInternalError, "unsupported storage pool event ID %d", a.EventID)
	}
	cb := interest{event: a.EventID}
	if len(a.Pool) > 0 {
		cb.object = uuid.UUID(a.Pool[0].UUID)
	}
	id := c.poolEvents.add(cb, func() func() { return c.driver.storage.Subscribe(c.tellPool) })
	return &libvirt.ConnectStoragePoolEventRegisterAnyRet{CallbackID: id}, nil
}

// ConnectStoragePoolEventDeregisterAny ends one registration.
func (c *Conn) ConnectStoragePoolEventDeregisterAny(_ context.Context, a *libvirt.ConnectStoragePoolEventDeregisterAnyArgs) error {
	if !c.poolEvents.remove(a.CallbackID) {
		return virerr.In(virerr.Remote, libvirt.ErrInternalError, "storage pool event callback %d not registered", a.CallbackID)
	}
	return nil
}

// tellPool passes a change on to the client's callbacks.
func (c *Conn) tellPool(change storage.Change) {
	event := libvirt.StoragePoolEventIDLifecycle
	if change.Refreshed {
		event = libvirt.StoragePoolEventIDRefresh
	}
	c.poolEvents.each(int32(event), change.Pool.UUID, func(id int32) {
		c.notify.Notify(poolMessage(id, change))
	})
}

func poolMessage(id int32, change storage.Change) (procedure int32, message any) {
	pool := poolObject(change.Pool)
	if change.Refreshed {
		return proto.StoragePoolEventRefresh, &libvirt.StoragePoolEventRefreshMsg{CallbackID: id, Pool: pool}
	}
	return proto.StoragePoolEventLifecycle, &libvirt.StoragePoolEventLifecycleMsg{
		CallbackID: id, Pool: pool, Event: *change.Lifecycle,
	}
}
