package dispatch

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/driver"
)

// Options are a server's settings. A zero value means libvirtd's default.
type Options struct {
	// MaxClients is how many clients may be connected; 5000.
	MaxClients int
	// MaxRequests is how many calls of one client run at a time, quick ones
	// not counted; 5.
	MaxRequests int
	// KeepaliveInterval is how long a client may be silent before it is
	// pinged; 5 s. Negative: never.
	KeepaliveInterval time.Duration
	// KeepaliveCount is how many pings a client may leave unanswered; 5.
	KeepaliveCount int
	// Authenticate says what a client has to do before its calls are
	// served; nil: nothing.
	Authenticate func(peer driver.Peer, readOnly bool) Authentication
	// ClientsChanged is told the number of clients after each change, one
	// call at a time. It must neither wait nor call the server.
	ClientsChanged func(count int)
	// Log is where the server reports; nil: slog.Default.
	Log *slog.Logger

	stallLimit time.Duration // see defaultStallLimit; tests have less patience
}

func (o Options) withDefaults() Options {
	if o.MaxClients == 0 {
		o.MaxClients = 5000
	}
	if o.MaxRequests == 0 {
		o.MaxRequests = 5
	}
	if o.KeepaliveInterval == 0 {
		o.KeepaliveInterval = 5 * time.Second
	}
	if o.KeepaliveCount == 0 {
		o.KeepaliveCount = 5
	}
	if o.Authenticate == nil {
		o.Authenticate = func(driver.Peer, bool) Authentication { return noAuthentication{} }
	}
	if o.ClientsChanged == nil {
		o.ClientsChanged = func(int) {}
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.stallLimit == 0 {
		o.stallLimit = defaultStallLimit
	}
	return o
}

// session is the driver's side of a connection, as far as the server itself
// needs it; the rows call the rest.
type session interface {
	Open(uri string, flags libvirt.ConnectFlags) error
	ReadOnly() bool
	Close()
}

// Listener is a socket to accept clients on.
type Listener struct {
	net.Listener
	// ReadOnly: its clients may only look.
	ReadOnly bool
}

// Server serves clients of any number of listeners.
type Server struct {
	options Options
	rows    table
	connect func(driver.Peer, bool, driver.Notifier) session

	mu      sync.Mutex // guards what follows; nothing waits while it is held
	clients map[*client]struct{}
	closed  bool
	group   sync.WaitGroup // the clients' goroutines
}

// New makes a server whose clients talk to d.
func New(d *driver.Driver, options Options) *Server {
	connect := func(peer driver.Peer, readOnly bool, notify driver.Notifier) session {
		return d.NewConn(peer, readOnly, notify)
	}
	return newServer(connect, rows(), options)
}

func newServer(connect func(driver.Peer, bool, driver.Notifier) session, rows []row, options Options) *Server {
	return &Server{
		options: options.withDefaults(),
		rows:    newTable(append(rows, connectionRows()...)),
		connect: connect,
		clients: make(map[*client]struct{}),
	}
}

// Serve accepts clients until ctx is done or a listener fails. It then closes
// the listeners and the server and returns when every client is gone; the
// error is nil when ctx ended it.
func (s *Server) Serve(ctx context.Context, listeners ...Listener) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var accepting sync.WaitGroup
	for _, l := range listeners {
		accepting.Go(func() { cancel(s.accept(ctx, l)) })
	}
	<-ctx.Done()
	for _, l := range listeners {
		_ = l.Close() // accept reports what went wrong
	}
	accepting.Wait()
	s.Close()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// acceptPause is the wait after the system had no room for a client.
const acceptPause = 100 * time.Millisecond

// accept accepts clients of one listener until it is closed or fails.
func (s *Server) accept(ctx context.Context, l Listener) error {
	for {
		conn, err := l.Accept()
		switch {
		case err == nil:
			s.admit(conn, l.ReadOnly)
		case ctx.Err() != nil:
			return nil
		case isShortage(err):
			s.options.Log.Warn("cannot accept a client", "error", err)
			select {
			case <-time.After(acceptPause):
			case <-ctx.Done():
			}
		default:
			return err
		}
	}
}

// isShortage reports whether accepting may work again later.
func isShortage(err error) bool {
	for _, errno := range []syscall.Errno{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED,
	} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// admit makes a client of conn, or closes it.
func (s *Server) admit(conn net.Conn, readOnly bool) {
	peer, err := peerOf(conn)
	if err != nil {
		s.options.Log.Warn("refused a client", "error", err)
		_ = conn.Close() // nothing was sent
		return
	}
	c := newClient(s, conn, peer, readOnly)
	if err := s.add(c); err != nil {
		c.log.Warn("refused a client", "error", err)
		c.end()
		return
	}
	go func() {
		defer s.remove(c)
		c.serve()
	}()
}

func (s *Server) add(c *client) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return errors.New("the server is closing")
	case len(s.clients) >= s.options.MaxClients:
		return errors.New("too many clients: raise max_clients to allow more")
	}
	s.clients[c] = struct{}{}
	s.group.Add(1)
	s.options.ClientsChanged(len(s.clients))
	return nil
}

func (s *Server) remove(c *client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.clients, c)
	s.group.Done()
	s.options.ClientsChanged(len(s.clients))
}

// Close ends every client and returns when they are gone. It is safe to call
// more than once.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	for c := range s.clients {
		c.hangUp()
	}
	s.mu.Unlock()
	s.group.Wait()
}
