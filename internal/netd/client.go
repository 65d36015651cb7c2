package netd

import (
	"context"
	"errors"
	"os"
)

// errNotBuilt is of what is still to be written.
var errNotBuilt = errors.New("not built yet")

// Process is a network's process, started or found again.
type Process struct{}

// Start writes spec and starts its process (executable: the running binary).
// It returns when the process serves, or with why it cannot: a *virerr.Error.
func Start(ctx context.Context, executable string, spec *Spec) (*Process, error) {
	return nil, errNotBuilt
}

// Find finds the process that serves the folder dir; fs.ErrNotExist says that
// there is none.
func Find(ctx context.Context, dir string) (*Process, error) { return nil, errNotBuilt }

// PID is the process's.
func (p *Process) PID() int { return 0 }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return nil }

// Stop ends the process and removes its sockets, and returns when it is gone.
func (p *Process) Stop(ctx context.Context) error { return errNotBuilt }

// Client asks a network's process.
type Client struct{}

// Dial connects to the process that serves the folder dir; fs.ErrNotExist says
// that there is none.
func Dial(ctx context.Context, dir string) (*Client, error) { return nil, errNotBuilt }

// Close ends the connection.
func (c *Client) Close() error { return nil }

// State tells how the network stands.
func (c *Client) State(ctx context.Context) (State, error) { return State{}, errNotBuilt }

// Configure gives the running network new settings of its gateway; what guests
// have (leases, connections) is kept where it still fits.
func (c *Client) Configure(ctx context.Context, spec *Spec) error { return errNotBuilt }

// SetPort changes the settings of the port of that ID, which need not be
// plugged at the moment.
func (c *Client) SetPort(ctx context.Context, port Port) error { return errNotBuilt }

// Capture writes what passes through a port, or with "" through the whole
// network, into file as pcapng until ctx ends.
func (c *Client) Capture(ctx context.Context, port string, file *os.File) error { return errNotBuilt }

// Plug is a guest's interface that is joined to a network.
type Plug struct{}

// PlugIn joins a guest's interface to the network of the folder dir. conn is
// the guest's connection, a SOCK_SEQPACKET socket that carries a frame a
// packet. The caller keeps its own copy of conn, so that the guest does not
// see the end when the network's process dies, and can plug it in again.
func PlugIn(ctx context.Context, dir string, port Port, conn *os.File) (*Plug, error) {
	return nil, errNotBuilt
}

// Done is closed when the plug has come out: the guest has closed its end
// (GuestClosed then says true), or the network's process has ended.
func (p *Plug) Done() <-chan struct{} { return nil }

// GuestClosed reports whether the guest has closed its end.
func (p *Plug) GuestClosed() bool { return false }

// Close pulls the plug.
func (p *Plug) Close() error { return nil }
