package usernet

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"virtumld/internal/usernet/dhcp"
	"virtumld/internal/virerr"
)

// Gateway is a network's gateway. Its methods may be called at the same time.
type Gateway struct {
	log    func(format string, args ...any)
	mac    net.HardwareAddr
	stack  *stack.Stack
	link   *link
	limits *limits
	pings  *pinger

	// view is what the packet path asks; it is replaced as a whole.
	view       atomic.Pointer[view]
	ports      atomic.Pointer[func(net.HardwareAddr) string]
	neighbours *neighbours
	flows      *flows
	tcp        *tcpNAT
	forwards   *forwards
	services   *services
	adverts    *adverts

	// configuring is held by Configure and Close, one at a time.
	configuring sync.Mutex
	ctx         context.Context
	cancel      context.CancelFunc
	// running counts the goroutines; adding one goes through spawn.
	running sync.WaitGroup
	spawnMu sync.Mutex
	closed  bool
}

// New starts a gateway. log takes what the administrator should know. The
// error is a *virerr.Error: of a setting that makes no sense, or of a forward
// whose port the host does not give.
func New(cfg Config, log func(format string, args ...any)) (*Gateway, error) {
	v, err := newView(cfg)
	if err != nil {
		return nil, err
	}
	mac, err := net.ParseMAC(cfg.MAC)
	if err != nil || len(mac) != 6 || mac[0]&1 != 0 {
		return nil, unsupported("the gateway's MAC address %q is not the address of one device", cfg.MAC)
	}
	g := &Gateway{log: prefixed(cfg.Name, log), mac: mac, limits: newLimits(), neighbours: newNeighbours()}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	g.view.Store(v)
	g.link = newLink(g, v.mtu)
	g.flows = newFlows(g)
	g.pings = newPinger()
	g.tcp = newTCPNAT(g)
	g.forwards = &forwards{gateway: g, open: map[forwardKey]*forward{}}
	g.services = &services{gateway: g}
	g.adverts = newAdverts(g)
	if err := g.start(v); err != nil {
		g.Close()
		return nil, err
	}
	return g, nil
}

// prefixed puts the network's name before every text.
func prefixed(name string, log func(format string, args ...any)) func(string, ...any) {
	if log == nil {
		log = func(string, ...any) {}
	}
	if name == "" {
		return log
	}
	return func(format string, args ...any) {
		log("network %s: %s", name, fmt.Sprintf(format, args...))
	}
}

func (g *Gateway) start(v *view) error {
	if err := g.newStack(v); err != nil {
		return err
	}
	if err := g.services.configure(v); err != nil {
		return err
	}
	if err := g.forwards.configure(v.cfg.Forwards); err != nil {
		return err
	}
	g.adverts.start()
	return nil
}

// Link is the gateway's end of a cable: Read returns the next Ethernet frame
// that the gateway sends, Write gives it one and never waits. Its Close is the
// Gateway's.
func (g *Gateway) Link() io.ReadWriteCloser { return g.link }

// FindPorts tells the gateway how to find out which guest has sent a frame: by
// the port behind which its MAC address is. What a guest can have is bounded by
// its port then, whatever addresses it makes up. Until then it is by its MAC
// address.
func (g *Gateway) FindPorts(find func(mac net.HardwareAddr) (port string)) { g.ports.Store(&find) }

// Leases are the DHCP leases that are good now, in the order of addresses.
func (g *Gateway) Leases() []Lease { return g.services.leases(time.Now()) }

// Neighbours are the addresses that guests have been seen to use, in the order
// of MACs and then addresses. Of a lease only MAC, Address and Prefix are set.
func (g *Gateway) Neighbours() []Lease { return g.neighbours.list(g.view.Load()) }

// Configure gives the gateway new settings while it runs. Connections go on,
// but for those whose subnet is gone. The gateway's MAC address and MTU cannot
// be changed. When the error is not nil the old settings are still in force.
func (g *Gateway) Configure(cfg Config) error {
	g.configuring.Lock()
	defer g.configuring.Unlock()
	old := g.view.Load()
	v, err := newView(cfg)
	if err != nil {
		return err
	}
	if g.ctx.Err() != nil {
		return virerr.In(virerr.Network, libvirt.ErrOperationInvalid, "the gateway of network %s has ended", old.cfg.Name)
	}
	if v.cfg.MAC != old.cfg.MAC || v.mtu != old.mtu {
		return unsupported("the gateway's MAC address and MTU cannot be changed while the network is active: destroy and start it")
	}
	if err := g.apply(old, v); err != nil {
		return err
	}
	g.adverts.announce()
	return nil
}

// apply goes from old to v, or back again where that fails.
func (g *Gateway) apply(old, v *view) error {
	if err := g.setAddresses(old, v); err != nil {
		return err
	}
	g.view.Store(v)
	err := g.services.configure(v)
	if err == nil {
		err = g.forwards.configure(v.cfg.Forwards)
	}
	if err == nil {
		return nil
	}
	g.view.Store(old)
	if back := g.setAddresses(v, old); back != nil {
		g.log("cannot go back to the old addresses: %v", back)
	}
	if back := g.services.configure(old); back != nil {
		g.log("cannot go back to the old DHCP and DNS settings: %v", back)
	}
	return err
}

// Close ends the gateway with all connections through it, and returns when
// nothing of it is left.
func (g *Gateway) Close() error {
	g.spawnMu.Lock()
	was := g.closed
	g.closed = true
	g.spawnMu.Unlock()
	g.cancel()
	g.configuring.Lock()
	defer g.configuring.Unlock()
	if !was {
		g.forwards.close()
		g.tcp.close()
		g.flows.close()
		g.closeStack()
	}
	return nil
}

// closeStack ends the stack and waits for the goroutines.
func (g *Gateway) closeStack() {
	done := make(chan struct{})
	go func() {
		g.running.Wait()
		close(done)
	}()
	g.link.shut()
	if g.stack == nil {
		<-done
		return
	}
	// A connection that was being made while the stack closed is not among
	// those it has closed: again, until the last is gone.
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		for _, endpoint := range g.stack.RegisteredEndpoints() {
			endpoint.Abort()
		}
		select {
		case <-done:
			g.stack.Destroy()
			return
		case <-again.C:
		}
	}
}

// spawn runs f in a goroutine that Close waits for; it reports false, and does
// nothing, when the gateway is closing.
func (g *Gateway) spawn(f func()) bool {
	g.spawnMu.Lock()
	defer g.spawnMu.Unlock()
	if g.closed {
		return false
	}
	g.running.Go(f)
	return true
}

func unsupported(format string, args ...any) error {
	return virerr.In(virerr.Network, libvirt.ErrConfigUnsupported, format, args...)
}

// leaseOf is a lease in this package's type.
func leaseOf(l dhcp.Lease) Lease { return Lease(l) }
