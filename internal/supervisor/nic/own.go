package nic

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"sync"
	"time"

	"virtumld/internal/netd"
)

const (
	// startTime bounds the start of a network's process, stopTime its end.
	startTime = 30 * time.Second
	stopTime  = 15 * time.Second
	// steadyAfter is how long a process must last to count as a success.
	steadyAfter = 10 * time.Second
	longestWait = 30 * time.Second
)

// own is the network process of one interface, kept alive until stop.
type own struct {
	networks Networks
	children *children
	log      func(format string, args ...any)
	cancel   context.CancelFunc
	ended    chan struct{}

	mu   sync.Mutex
	spec *netd.Spec
	// next is closed, and replaced, when the process was started anew.
	next chan struct{}
}

// startOwn starts the process and keeps it.
func startOwn(ctx context.Context, s *Set, spec *netd.Spec) (*own, error) {
	o := &own{
		networks: s.Networks, children: &s.children, log: s.Log, spec: spec,
		ended: make(chan struct{}), next: make(chan struct{}),
	}
	process, err := o.start(ctx)
	if err != nil {
		return nil, err
	}
	keep, cancel := context.WithCancel(context.Background())
	o.cancel = cancel
	go o.keep(keep, process)
	return o, nil
}

func (o *own) start(ctx context.Context) (Process, error) {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	return o.children.start(func() (Process, error) { return o.networks.Start(ctx, o.settings()) })
}

func (o *own) settings() *netd.Spec {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.spec
}

// keep restarts the process whenever it ends, until ctx does.
func (o *own) keep(ctx context.Context, process Process) {
	defer close(o.ended)
	started, failures := time.Now(), 0
	for {
		select {
		case <-process.Done():
		case <-ctx.Done():
			o.stopProcess(process)
			return
		}
		o.children.forget(process)
		o.log("the network process of %s has ended; starting it again", o.settings().Name)
		if time.Since(started) >= steadyAfter {
			failures = 0
		}
		if process, failures = o.restart(ctx, failures); process == nil {
			return
		}
		started = time.Now()
	}
}

// restart starts the process as often as it takes; nil says that ctx ended.
func (o *own) restart(ctx context.Context, failures int) (Process, int) {
	for {
		if failures > 0 {
			select {
			case <-time.After(min(time.Second<<min(failures-1, 10), longestWait)):
			case <-ctx.Done():
				return nil, 0
			}
		}
		failures++
		process, err := o.start(ctx)
		if err == nil {
			o.announce()
			return process, failures
		}
		if ctx.Err() != nil {
			return nil, 0
		}
		o.log("cannot start the network process of %s: %v", o.settings().Name, err)
	}
}

func (o *own) announce() {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.next)
	o.next = make(chan struct{})
}

// watch returns what tells of the next process.
func (o *own) watch() (again <-chan struct{}, stop func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.next, func() {}
}

func (o *own) stopProcess(process Process) {
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	if err := process.Stop(ctx); err != nil {
		o.log("cannot end the network process of %s: %v", o.settings().Name, err)
	}
	o.children.forget(process)
	netd.RemoveDevices(o.settings())
}

// configure changes the settings of the running process and of those to come.
func (o *own) configure(ctx context.Context, spec *netd.Spec) error {
	if err := o.networks.Configure(ctx, spec); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.spec = spec
	return nil
}

// stop ends the process and returns when it is gone, with its folder.
func (o *own) stop() {
	o.cancel()
	<-o.ended
	_ = os.RemoveAll(o.settings().Dir) // the guest's folder goes in the end, too
}

// CleanUp ends what a supervisor that was killed has left of an interface: its
// own network's process ends by itself, but perhaps not at once, and perhaps
// not with all that it has.
func CleanUp(i *Interface) error {
	if i.Own == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	return netd.CleanUp(ctx, i.Own)
}
