package driver

import (
	"sync"

	"github.com/google/uuid"
)

// callbacks are a client's registrations for the events of one kind of object
// beside domains.
type callbacks struct {
	subscribed  sync.Once
	unsubscribe func() // nil before the first registration

	mu     sync.Mutex // guards what follows; taken after the subject's own
	lastID int32
	all    map[int32]interest
}

// interest is a registration for one event, of the object of that uuid or, with
// uuid.Nil, of all.
type interest struct {
	event  int32
	object uuid.UUID
}

// add registers a callback and returns its id. The first one subscribes.
func (c *callbacks) add(cb interest, subscribe func() (cancel func())) int32 {
	// Without mu: what is subscribed takes it with the subject's own lock held.
	c.subscribed.Do(func() { c.unsubscribe = subscribe() })
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all == nil {
		c.all = make(map[int32]interest)
	}
	c.lastID++
	c.all[c.lastID] = cb
	return c.lastID
}

// remove ends a registration; false says that there is none of that id.
func (c *callbacks) remove(id int32) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, found := c.all[id]
	delete(c.all, id)
	return found
}

// each calls tell with the id of every callback for an event of object.
func (c *callbacks) each(event int32, object uuid.UUID, tell func(id int32)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, cb := range c.all {
		if cb.event == event && (cb.object == uuid.Nil || cb.object == object) {
			tell(id)
		}
	}
}

// drop ends the subscription; no registration may be under way.
func (c *callbacks) drop() {
	c.subscribed.Do(func() {})
	if c.unsubscribe != nil {
		c.unsubscribe()
	}
}
