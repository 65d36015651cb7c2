package domain

import (
	"sync"

	libvirt "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"

	"virtumld/internal/domxml"
)

// Identity is what a client knows a domain by.
type Identity struct {
	Name string
	UUID uuid.UUID
	// ID is the running guest's number, -1 when there is none.
	ID int32
}

// Change is something that happened to a domain and that clients may hear of.
// Exactly one of the pointers is set.
type Change struct {
	Domain    Identity
	Lifecycle *Lifecycle
	Reboot    *Reboot
	Metadata  *MetadataChange
	Device    *DeviceChange
}

// Lifecycle is libvirt's lifecycle event (virDomainEventType and its detail).
type Lifecycle struct {
	Event  libvirt.DomainEventType
	Detail int32
}

// Reboot says that the guest has rebooted.
type Reboot struct{}

// MetadataChange says that title, description or an element was set or
// removed (virDomainMetadataType). URI is "" but for an element.
type MetadataChange struct {
	Type domxml.MetadataType
	URI  string
}

// DeviceChange says that a device of the running guest was added or removed.
type DeviceChange struct {
	Alias string
	Added bool
}

// Bus hands every Change to every subscriber, in the order it happened.
type Bus struct {
	mu   sync.RWMutex // guards: subs. The last lock to be taken.
	subs map[*subscriber]struct{}
}

type subscriber struct{ deliver func(Change) }

// Subscribe calls deliver for each Change until the returned function is
// called. deliver runs where the change is made and must not block.
func (b *Bus) Subscribe(deliver func(Change)) (cancel func()) {
	s := &subscriber{deliver}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.subs == nil {
		b.subs = make(map[*subscriber]struct{})
	}
	b.subs[s] = struct{}{}
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.subs, s)
	}
}

func (b *Bus) publish(changes ...Change) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for s := range b.subs {
		for _, c := range changes {
			s.deliver(c)
		}
	}
}

func lifecycle[D ~int32](event libvirt.DomainEventType, detail D) Change {
	return Change{Lifecycle: &Lifecycle{Event: event, Detail: int32(detail)}}
}
