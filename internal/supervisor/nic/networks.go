package nic

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"virtumld/internal/netd"
)

// Networks are the processes that serve networks, as this package uses them.
type Networks interface {
	// Start starts a network's process and returns when it serves.
	Start(ctx context.Context, spec *netd.Spec) (Process, error)
	// PlugIn joins a connection to the network of the folder dir.
	PlugIn(ctx context.Context, dir string, port netd.Port, conn *os.File) (Plug, error)
	// SetPort changes the settings of a port.
	SetPort(ctx context.Context, dir string, port netd.Port) error
	// Configure changes the settings of a network.
	Configure(ctx context.Context, spec *netd.Spec) error
}

// Process is a network's process.
type Process interface {
	PID() int
	Done() <-chan struct{}
	Stop(ctx context.Context) error
}

// Plug is an interface that is joined to a network.
type Plug interface {
	Done() <-chan struct{}
	GuestClosed() bool
	Close() error
}

// Netd returns the real networks; executable is the binary of their processes.
func Netd(executable string) Networks { return processes{executable} }

type processes struct{ executable string }

func (p processes) Start(ctx context.Context, spec *netd.Spec) (Process, error) {
	if err := os.Mkdir(spec.Dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	process, err := netd.Start(ctx, p.executable, spec)
	if err != nil {
		return nil, err
	}
	return process, nil
}

func (processes) PlugIn(ctx context.Context, dir string, port netd.Port, conn *os.File) (Plug, error) {
	plug, err := netd.PlugIn(ctx, dir, port, conn)
	if err != nil {
		return nil, err
	}
	return plug, nil
}

func (processes) SetPort(ctx context.Context, dir string, port netd.Port) error {
	return ask(ctx, dir, func(c *netd.Client) error { return c.SetPort(ctx, port) })
}

func (processes) Configure(ctx context.Context, spec *netd.Spec) error {
	return ask(ctx, spec.Dir, func(c *netd.Client) error { return c.Configure(ctx, spec) })
}

func ask(ctx context.Context, dir string, question func(*netd.Client) error) error {
	client, err := netd.Dial(ctx, dir)
	if err != nil {
		return err
	}
	return errors.Join(question(client), client.Close())
}
