package nic

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/netd"
	"virtumld/internal/virerr"
)

// Options are what the interfaces of a guest have in common.
type Options struct {
	// Dir is the folder of the sockets.
	Dir string
	// UID and GID are whose processes the guest's are.
	UID, GID int
	Networks Networks
	// Log writes to the guest's log.
	Log func(format string, args ...any)
}

// Set are the interfaces of a guest.
type Set struct {
	Options
	children children
	// busy holds the one change at a time.
	busy chan struct{}

	mu sync.Mutex
	// units is nil after End.
	units map[int]*nic
}

// New returns a set without interfaces.
func New(o Options) *Set {
	return &Set{Options: o, busy: make(chan struct{}, 1), units: make(map[int]*nic)}
}

// Open makes an interface ready for the guest: its own network runs, and its
// socket listens. The errors are virerr's; a failure leaves nothing.
func (s *Set) Open(ctx context.Context, i Interface) error {
	end, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	if s.find(i.Unit) != nil {
		return virerr.New(libvirt.ErrOperationInvalid, "the guest already has an interface vec%d", i.Unit)
	}
	t, err := s.aim(ctx, i)
	if err != nil {
		return err
	}
	listener, err := listen(s.Dir, i.Unit, s.UID, s.GID)
	if err != nil {
		t.stop()
		return virerr.New(libvirt.ErrSystemError, "cannot make the socket of interface vec%d: %w", i.Unit, err)
	}
	loop, cancel := context.WithCancel(context.Background())
	n := &nic{
		networks: s.Networks, log: s.Log, uid: s.UID, path: filepath.Join(s.Dir, Name(i.Unit)),
		listener: listener, cancel: cancel, ended: make(chan struct{}), target: t,
	}
	go n.run(loop)
	return s.add(i.Unit, n)
}

// aim starts the network of an interface that has its own.
func (s *Set) aim(ctx context.Context, i Interface) (target, error) {
	t := target{Interface: i, changed: make(chan struct{})}
	if i.Own == nil {
		return t, nil
	}
	var err error
	t.own, err = startOwn(ctx, s, i.Own)
	return t, err
}

// stop ends the network of an interface that has its own.
func (t *target) stop() {
	if t.own != nil {
		t.own.stop()
	}
}

// Close takes an interface away; one that is not there is no error.
func (s *Set) Close(ctx context.Context, unit int) error {
	end, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	n := s.take(unit)
	if n != nil {
		n.end()
	}
	return nil
}

// Update gives an interface other settings or another network. The guest does
// not notice. A failure changes nothing.
func (s *Set) Update(ctx context.Context, i Interface) error {
	end, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	n := s.find(i.Unit)
	if n == nil {
		return virerr.New(libvirt.ErrOperationInvalid, "the guest has no interface vec%d", i.Unit)
	}
	old := n.present()
	switch {
	case old.Dir() != i.Dir():
		return s.move(ctx, n, i)
	case !configurable(old.Own, i.Own):
		return s.replace(ctx, n, i)
	}
	if i.Own != nil && !reflect.DeepEqual(old.Own, i.Own) {
		if err := old.own.configure(ctx, i.Own); err != nil {
			return err
		}
	}
	// First here, so that who plugs in meanwhile does it with the new ones.
	n.change(func(t *target) { t.Interface = i })
	// A network that is away is given the settings when it is back.
	err = s.Networks.SetPort(ctx, i.Dir(), i.Port)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	n.change(func(t *target) { t.Interface = old.Interface })
	return err
}

// move plugs an interface into another network.
func (s *Set) move(ctx context.Context, n *nic, i Interface) error {
	next, err := s.aim(ctx, i)
	if err != nil {
		return err
	}
	old := n.change(func(t *target) { *t = next })
	close(old.changed)
	old.stop()
	return nil
}

// configurable reports whether a network's process can go from one description
// to the other.
func configurable(from, to *netd.Spec) bool {
	if from == nil || to == nil {
		return from == to
	}
	return (from.Gateway == nil) == (to.Gateway == nil) &&
		from.Trunk == to.Trunk && reflect.DeepEqual(linked(from.Tap), linked(to.Tap)) && reflect.DeepEqual(from.Socket, to.Socket)
}

// linked is t with its link up: that state can change.
func linked(t *netd.Tap) *netd.Tap {
	if t == nil {
		return nil
	}
	up := *t
	up.Down = false
	return &up
}

// replace is move to another network in the same folder, which has to be free
// of the old one first.
func (s *Set) replace(ctx context.Context, n *nic, i Interface) error {
	old := n.present()
	old.stop()
	next, err := s.aim(ctx, i)
	if err != nil {
		back, backErr := s.aim(context.WithoutCancel(ctx), old.Interface)
		if backErr != nil {
			return errors.Join(err, backErr)
		}
		next = back
	}
	n.change(func(t *target) { *t = next })
	close(old.changed)
	return err
}

func (n *nic) change(edit func(*target)) (old target) {
	n.mu.Lock()
	defer n.mu.Unlock()
	old = n.target
	edit(&n.target)
	return old
}

// end takes the socket away and returns when nothing of the interface is left.
func (n *nic) end() {
	n.cancel()
	n.listener.Close()
	_ = os.Remove(n.path) // its folder goes in the end, too
	<-n.ended
	t := n.present()
	t.stop()
}

// End takes all interfaces away. Nothing can be opened any more.
func (s *Set) End() {
	s.mu.Lock()
	units := s.units
	s.units = nil
	s.mu.Unlock()
	var ends sync.WaitGroup
	for _, n := range units {
		ends.Go(n.end)
	}
	ends.Wait()
}

// Children calls use with the pids of the networks' processes, of which none
// is started or ends meanwhile.
func (s *Set) Children(use func(pids map[int]bool)) { s.children.list(use) }

// Sorted returns interfaces in the order of their units.
func Sorted(all []Interface) []Interface {
	return slices.SortedFunc(slices.Values(all), func(a, b Interface) int { return a.Unit - b.Unit })
}

// begin waits for the changes before.
func (s *Set) begin(ctx context.Context) (end func(), err error) {
	select {
	case s.busy <- struct{}{}:
		return func() { <-s.busy }, nil
	case <-ctx.Done():
		return nil, virerr.New(libvirt.ErrOperationTimeout, "another change of the guest's interfaces takes too long: %w", ctx.Err())
	}
}

func (s *Set) find(unit int) *nic {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.units[unit]
}

func (s *Set) take(unit int) *nic {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.units[unit]
	delete(s.units, unit)
	return n
}

// add takes in a new interface, unless the guest has ended meanwhile.
func (s *Set) add(unit int, n *nic) error {
	s.mu.Lock()
	open := s.units != nil
	if open {
		s.units[unit] = n
	}
	s.mu.Unlock()
	if open {
		return nil
	}
	n.end()
	return virerr.New(libvirt.ErrOperationInvalid, "the guest has ended")
}

// String names an interface in logs.
func (i *Interface) String() string { return fmt.Sprintf("vec%d", i.Unit) }
