package network

import (
	"slices"

	libvirt "github.com/digitalocean/go-libvirt"
)

type subscriber struct{ tell func(Event) }

// Subscribe has tell called for every event, in order, until cancel. tell must
// not wait and must not call back.
func (s *Networks) Subscribe(tell func(Event)) (cancel func()) {
	sub := &subscriber{tell}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subscribers = append(slices.Clone(s.subscribers), sub)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.subscribers = slices.DeleteFunc(slices.Clone(s.subscribers), func(other *subscriber) bool { return other == sub })
	}
}

// emit tells of n's lifecycle; mu is held.
func (s *Networks) emit(n *network, event libvirt.NetworkEventLifecycleType) {
	s.tell(Event{Network: n.spec, Lifecycle: event})
}

// tell tells of an event; mu is held, so that events come in the order in which
// their changes can be seen.
func (s *Networks) tell(e Event) {
	for _, sub := range s.subscribers {
		sub.tell(e)
	}
}
