package netd

import (
	"context"
	"os"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/rundir"
)

// Client asks a network's process. Its methods may be called at the same time;
// each waits for the one before.
type Client struct {
	dir string
	// turn holds the connection while nobody asks; nil for one that must be
	// made anew, after a question that was not waited for.
	turn   chan *channel
	lastID int
}

// Dial connects to the process that serves the folder dir; fs.ErrNotExist says
// that there is none.
func Dial(ctx context.Context, dir string) (*Client, error) {
	conn, err := connect(ctx, dir)
	if err != nil {
		return nil, err
	}
	c := &Client{dir: dir, turn: make(chan *channel, 1)}
	c.turn <- conn
	return c, nil
}

// Close ends the connection, after the call that is under way.
func (c *Client) Close() error {
	if conn := <-c.turn; conn != nil {
		defer func() { c.turn <- nil }()
		return conn.Close()
	}
	c.turn <- nil
	return nil
}

// State tells how the network stands.
func (c *Client) State(ctx context.Context) (State, error) {
	answer, err := c.ask(ctx, request{Command: cmdState})
	if err != nil {
		return State{}, err
	}
	if answer.State == nil {
		return State{}, failed(libvirt.ErrInternalError, "the network's process does not tell its state")
	}
	return *answer.State, nil
}

// Configure gives the running network new settings of its gateway; what guests
// have (leases, connections) is kept where it still fits.
func (c *Client) Configure(ctx context.Context, spec *Spec) error {
	_, err := c.ask(ctx, request{Command: cmdConfigure, Spec: spec})
	return err
}

// SetPort changes the settings of the port of that ID, which need not be
// plugged at the moment. They outlive the plug: one that comes later does not
// change them.
func (c *Client) SetPort(ctx context.Context, port Port) error {
	_, err := c.ask(ctx, request{Command: cmdSetPort, Port: &port})
	return err
}

// ForgetPort removes the settings and counters of a port that is not plugged;
// one that is stays.
func (c *Client) ForgetPort(ctx context.Context, id string) error {
	_, err := c.ask(ctx, request{Command: cmdForget, PortID: id})
	return err
}

// ask sends a request and returns its answer.
func (c *Client) ask(ctx context.Context, r request) (report, error) {
	if ctx.Err() != nil {
		return report{}, late(ctx)
	}
	var conn *channel
	select {
	case conn = <-c.turn:
	case <-ctx.Done():
		return report{}, late(ctx)
	}
	// A connection on which something went wrong is not used again.
	var keep *channel
	defer func() { c.turn <- keep }()
	if conn == nil {
		var err error
		if conn, err = connect(ctx, c.dir); err != nil {
			return report{}, err
		}
	}
	c.lastID++
	r.ID = c.lastID
	answer, err := conn.ask(ctx, r, nil)
	if err != nil {
		conn.Close()
		return report{}, err
	}
	keep = conn
	return answer, answer.Error.error()
}

// ask sends a request and receives its answer. The error is that of the
// connection only.
func (c *channel) ask(ctx context.Context, r request, file *os.File) (report, error) {
	stop := rundir.Bound(ctx, c)
	defer stop()
	var answer report
	err := c.send(r, file)
	for err == nil {
		if err = discard(c.receive(&answer)); err == nil && answer.ID == r.ID {
			return answer, nil
		}
	}
	if ctx.Err() != nil {
		return report{}, late(ctx)
	}
	return report{}, failed(libvirt.ErrOperationFailed, "the network's process does not answer: %w", err)
}
