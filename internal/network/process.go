package network

import (
	"context"

	"virtumld/internal/netd"
)

// Processes start networks' processes, find them again and ask them. Netd is
// the real one.
type Processes interface {
	Start(ctx context.Context, spec *netd.Spec) (Process, error)
	// Find finds the process that serves dir, or fs.ErrNotExist.
	Find(ctx context.Context, dir string) (Process, error)
	// State and Configure ask the process that serves dir; without one the
	// error is fs.ErrNotExist.
	State(ctx context.Context, dir string) (netd.State, error)
	Configure(ctx context.Context, spec *netd.Spec) error
}

// Process is a network's process.
type Process interface {
	// Done is closed when it has ended.
	Done() <-chan struct{}
	// Stop ends it and returns when it is gone.
	Stop(ctx context.Context) error
}

// Netd are processes of this program's own binary.
type Netd struct{ Executable string }

// Start starts a process.
func (d Netd) Start(ctx context.Context, spec *netd.Spec) (Process, error) {
	p, err := netd.Start(ctx, d.Executable, spec)
	if err != nil {
		return nil, err // not a nil *netd.Process that is no nil Process
	}
	return p, nil
}

// Find finds a process again.
func (d Netd) Find(ctx context.Context, dir string) (Process, error) {
	p, err := netd.Find(ctx, dir)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// State asks a process how its network stands.
func (d Netd) State(ctx context.Context, dir string) (netd.State, error) {
	c, err := netd.Dial(ctx, dir)
	if err != nil {
		return netd.State{}, err
	}
	defer c.Close()
	return c.State(ctx)
}

// Configure gives a process new settings.
func (d Netd) Configure(ctx context.Context, spec *netd.Spec) error {
	c, err := netd.Dial(ctx, spec.Dir)
	if err != nil {
		return err
	}
	defer c.Close()
	return c.Configure(ctx, spec)
}
