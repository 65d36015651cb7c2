package network

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"

	"github.com/google/uuid"

	"virtumld/internal/netd"
	"virtumld/internal/networkxml"
	"virtumld/internal/store"
)

// Config is what an instance's networks need to know.
type Config struct {
	// ConfigDir holds the definitions: NAME.xml, and autostart/NAME.xml, a
	// link to it for each network that starts with the host (libvirt's
	// layout).
	ConfigDir string
	// StateDir holds NAME.xml of each active network, and the folder UUID
	// of its process; it survives the daemon, not the host.
	StateDir string
	// LeaseDir holds UUID/leases.json of each network with DHCP.
	LeaseDir string
	// User is the unprivileged user of the processes, nil for the daemon's.
	User *netd.User
	// NoDefault makes no network "default".
	NoDefault bool
	// Processes start networks' processes and ask them.
	Processes Processes
	// Log gets what no caller can be told.
	Log *slog.Logger
}

// Networks are an instance's virtual networks. Its methods may be called at the
// same time.
//
// mu guards everything in memory and is never held over I/O. Work on one
// network's files and process takes the network's turn, one at a time.
type Networks struct {
	cfg   Config
	files *store.Definitions

	// life ends with Close, and with it what watches the processes.
	life     context.Context
	end      context.CancelFunc
	watching sync.WaitGroup

	mu          sync.Mutex
	byUUID      map[uuid.UUID]*network
	byName      map[string]*network
	subscribers []*subscriber // replaced, never changed in place
}

var _ Manager = (*Networks)(nil)

// network is one network. Its fields but spec and turn are guarded by
// Networks.mu; the definitions are never changed, only replaced.
type network struct {
	spec Spec
	// turn is a lock that can be waited for with a context: whoever has put
	// a value in it does the network's I/O.
	turn chan struct{}

	// config is the definition of a persistent network, live that of an
	// active one; pending is one that is being defined or started.
	config, live, pending *networkxml.Network
	autostart             bool
	// starting says that pending is to become active.
	starting bool
	// hidden networks are being defined or made for the first time: their
	// name and uuid are taken, but nobody sees them.
	hidden bool
	// gone says that the network was removed from Networks.
	gone bool
	// watch is of an active network's process, nil without one.
	watch *watch
}

func (n *network) active() bool     { return n.live != nil }
func (n *network) persistent() bool { return n.config != nil }

// present is the definition that is in force.
func (n *network) present() *networkxml.Network {
	if n.live != nil {
		return n.live
	}
	return n.config
}

// Open opens the folders of an instance, which are made where they are
// missing. Load then reads what is in them.
func Open(cfg Config) (*Networks, error) {
	s := &Networks{cfg: cfg, byUUID: map[uuid.UUID]*network{}, byName: map[string]*network{}}
	s.life, s.end = context.WithCancel(context.Background())
	if s.cfg.Log == nil {
		s.cfg.Log = slog.New(slog.DiscardHandler)
	}
	// The processes' user gets through to the leases of its own networks.
	if err := os.MkdirAll(cfg.LeaseDir, 0o711); err != nil {
		return nil, fmt.Errorf("networks: %w", err)
	}
	var err error
	s.files, err = store.OpenDefinitions(kind, cfg.ConfigDir, cfg.StateDir)
	if err != nil {
		s.end()
		return nil, err
	}
	return s, nil
}

// Close lets go of the networks, which stay active for the next Open.
func (s *Networks) Close() error {
	s.end()
	s.watching.Wait()
	return s.files.Close()
}

// take waits for the turn of the network that spec picks; the caller calls
// done.
func (s *Networks) take(ctx context.Context, spec Spec) (n *network, done func(), err error) {
	s.mu.Lock()
	n, err = s.find(spec)
	s.mu.Unlock()
	if err != nil {
		return nil, nil, err
	}
	if err := s.wait(ctx, n); errors.Is(err, errGone) {
		return nil, nil, errNoNetwork(spec)
	} else if err != nil {
		return nil, nil, err
	}
	return n, func() { s.settle(n) }, nil
}

// errGone says that a network was removed while its turn was waited for.
var errGone = errors.New("the network is gone")

// wait takes n's turn.
func (s *Networks) wait(ctx context.Context, n *network) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("network: %w", err) // select might not look
	}
	select {
	case n.turn <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("waiting for the network: %w", ctx.Err())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n.gone {
		<-n.turn
		return errGone
	}
	return nil
}

// settle gives n's turn back, and forgets a network that did not come to be.
func (s *Networks) settle(n *network) {
	s.mu.Lock()
	n.pending, n.starting = nil, false
	if n.hidden {
		s.forget(n)
	}
	s.mu.Unlock()
	<-n.turn
}

// forget removes n; mu is held.
func (s *Networks) forget(n *network) {
	n.gone = true
	delete(s.byUUID, n.spec.UUID)
	delete(s.byName, n.spec.Name)
}

// find returns the network that spec picks; mu is held.
func (s *Networks) find(spec Spec) (*network, error) {
	n := s.byUUID[spec.UUID]
	if spec.UUID == uuid.Nil {
		n = s.byName[spec.Name]
	}
	if n == nil || n.hidden {
		return nil, errNoNetwork(spec)
	}
	return n, nil
}
