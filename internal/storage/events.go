package storage

import "slices"

// libvirt's virStoragePoolEventLifecycleType.
const (
	eventDefined int32 = iota
	eventUndefined
	eventStarted
	eventStopped
	eventCreated
	eventDeleted
)

type subscriber struct{ tell func(Change) }

// Subscribe has tell called for every change, in order, until cancel. tell
// must not wait and must not call back.
func (s *Pools) Subscribe(tell func(Change)) (cancel func()) {
	sub := &subscriber{tell}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subscribers = append(s.subscribers, sub)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.subscribers = slices.DeleteFunc(slices.Clone(s.subscribers), func(other *subscriber) bool { return other == sub })
	}
}

// emit tells of p's lifecycle; mu is held.
func (s *Pools) emit(p *pool, event int32) { s.tell(Change{Pool: p.spec(), Lifecycle: &event}) }

// emitRefreshed tells that p's volumes were read anew; mu is held.
func (s *Pools) emitRefreshed(p *pool) { s.tell(Change{Pool: p.spec(), Refreshed: true}) }

func (s *Pools) tell(c Change) {
	for _, sub := range s.subscribers {
		sub.tell(c)
	}
}

// tellRefreshed has subscribers read p anew, unless it was stopped meanwhile.
func (s *Pools) tellRefreshed(p *pool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.active {
		s.emitRefreshed(p)
	}
}
