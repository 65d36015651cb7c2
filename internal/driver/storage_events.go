package driver

import (
	"context"
	"sync"

	libvirt "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"

	"virtumld/internal/proto"
	"virtumld/internal/storage"
	"virtumld/internal/virerr"
)

// poolEvents are a client's callbacks for storage pools.
type poolEvents struct {
	subscribed  sync.Once
	unsubscribe func() // nil before the first registration

	mu        sync.Mutex // guards what follows; taken after the storage's own
	lastID    int32
	callbacks map[int32]poolCallback
}

type poolCallback struct {
	event libvirt.StoragePoolEventID
	// pool is the only one to hear of, uuid.Nil for all.
	pool uuid.UUID
}

// ConnectStoragePoolEventRegisterAny registers for one event, of one pool or
// of all.
func (c *Conn) ConnectStoragePoolEventRegisterAny(_ context.Context, a *libvirt.ConnectStoragePoolEventRegisterAnyArgs) (*libvirt.ConnectStoragePoolEventRegisterAnyRet, error) {
	if a.EventID < 0 || a.EventID > int32(libvirt.StoragePoolEventIDRefresh) {
		return nil, virerr.In(virerr.Remote, libvirt.ErrInternalError, "unsupported storage pool event ID %d", a.EventID)
	}
	cb := poolCallback{event: libvirt.StoragePoolEventID(a.EventID)}
	if len(a.Pool) > 0 {
		cb.pool = uuid.UUID(a.Pool[0].UUID)
	}
	e := &c.poolEvents
	// Without e.mu: tell takes it with the storage's own lock held.
	e.subscribed.Do(func() { e.unsubscribe = c.driver.storage.Subscribe(c.tellPool) })
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.callbacks == nil {
		e.callbacks = make(map[int32]poolCallback)
	}
	e.lastID++
	e.callbacks[e.lastID] = cb
	return &libvirt.ConnectStoragePoolEventRegisterAnyRet{CallbackID: e.lastID}, nil
}

// ConnectStoragePoolEventDeregisterAny ends one registration.
func (c *Conn) ConnectStoragePoolEventDeregisterAny(_ context.Context, a *libvirt.ConnectStoragePoolEventDeregisterAnyArgs) error {
	e := &c.poolEvents
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, found := e.callbacks[a.CallbackID]; !found {
		return virerr.In(virerr.Remote, libvirt.ErrInternalError, "storage pool event callback %d not registered", a.CallbackID)
	}
	delete(e.callbacks, a.CallbackID)
	return nil
}

// drop ends the subscription; no registration may be under way.
func (e *poolEvents) drop() {
	e.subscribed.Do(func() {})
	if e.unsubscribe != nil {
		e.unsubscribe()
	}
}

// tellPool passes a change on to the client's callbacks.
func (c *Conn) tellPool(change storage.Change) {
	event := libvirt.StoragePoolEventIDLifecycle
	if change.Refreshed {
		event = libvirt.StoragePoolEventIDRefresh
	}
	e := &c.poolEvents
	e.mu.Lock()
	defer e.mu.Unlock()
	for id, cb := range e.callbacks {
		if cb.event == event && (cb.pool == uuid.Nil || cb.pool == change.Pool.UUID) {
			c.notify.Notify(poolMessage(id, change))
		}
	}
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
