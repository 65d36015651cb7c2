package netd

import (
	"io"
	"net"
	"sync"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/netd/qemusock"
	"virtumld/internal/netd/tap"
	"virtumld/internal/netswitch"
	"virtumld/internal/usernet"
)

// gateway is what a network needs of package usernet.
type gateway interface {
	Link() io.ReadWriteCloser
	Leases() []usernet.Lease
	Neighbours() []usernet.Lease
	Configure(usernet.Config) error
	FindPorts(func(net.HardwareAddr) string)
	Claims(frame []byte) bool
	Close() error
}

// newGateway makes a gateway.
func newGateway(config usernet.Config, log func(string, ...any)) (gateway, error) {
	g, err := usernet.New(config, log)
	if err != nil {
		return nil, err
	}
	return g, nil
}

// wayOut is how frames leave the network: by a gateway, a tap or a socket, or
// not at all.
type wayOut struct {
	gateway gateway
	// device is the network's tap; whoever has a port closes it with that.
	device  tap.Device
	tapName string

	// mu guards port's settings.
	mu   sync.Mutex
	port *netswitch.Port
}

// changesDevice says that the network has a device of the host that only who may
// administer the network can change: a macvtap.
func (s *Spec) changesDevice() bool { return s.Tap != nil && s.Tap.Direct != "" && !s.Tap.Keep }

// openDevice opens what needs privileges.
func (w *wayOut) openDevice(spec *Spec) error {
	if spec.Tap == nil {
		return nil
	}
	var err error
	w.device, w.tapName, err = tap.Open(tap.Config(*spec.Tap))
	return err
}

// join joins the way out to the switch.
func (w *wayOut) join(spec *Spec, sw *netswitch.Switch, log func(string, ...any)) error {
	conn, name, err := w.connection(spec, log)
	if conn == nil || err != nil {
		return err
	}
	if w.gateway != nil {
		w.gateway.FindPorts(func(mac net.HardwareAddr) string { return nameBehind(sw, mac) })
		sw.Forbid(w.gateway.Claims)
	}
	w.port, err = sw.Attach(uplink(spec, name), conn)
	return err
}

// nameBehind is the name of the port behind which an address is, "" for none.
func nameBehind(sw *netswitch.Switch, mac net.HardwareAddr) string {
	p := sw.Behind(mac)
	if p == nil {
		return ""
	}
	return p.Config().Name
}

func (w *wayOut) connection(spec *Spec, log func(string, ...any)) (netswitch.Conn, string, error) {
	var err error
	switch {
	case spec.Gateway != nil:
		if w.gateway, err = newGateway(*spec.Gateway, log); err != nil {
			return nil, "", err
		}
		return w.gateway.Link(), "gateway", nil
	case w.device != nil:
		return w.device, w.tapName, nil
	case spec.Socket != nil:
		conn, err := qemusock.Open(qemusock.Config{
			Kind: qemusock.Kind(spec.Socket.Kind), Address: spec.Socket.Address, Local: spec.Socket.Local,
		}, log)
		if err != nil {
			return nil, "", err
		}
		return conn, string(spec.Socket.Kind), nil
	default:
		return nil, "", nil
	}
}

// uplink is the settings of the way out's port.
func uplink(spec *Spec, name string) netswitch.PortConfig {
	return netswitch.PortConfig{Name: name, Uplink: true, Trunk: spec.Trunk, In: spec.Inbound, Out: spec.Outbound}
}

// configure changes the gateway's settings, the device's link and the shape; the
// kind of way out stays.
func (w *wayOut) configure(spec *Spec) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if (spec.Gateway != nil) != (w.gateway != nil) {
		return failed(libvirt.ErrOperationUnsupported, "a running network can neither get nor lose its gateway")
	}
	if w.gateway != nil {
		if err := w.gateway.Configure(*spec.Gateway); err != nil {
			return err
		}
	}
	if spec.Tap != nil && w.device != nil {
		if err := w.device.SetLink(!spec.Tap.Down); err != nil {
			return err
		}
	}
	if w.port != nil {
		w.port.Configure(uplink(spec, w.port.Config().Name))
	}
	return nil
}

// state tells what is known of addresses and devices.
func (w *wayOut) state() State {
	state := State{TapName: w.tapName}
	if w.gateway != nil {
		state.Leases, state.ARP = w.gateway.Leases(), w.gateway.Neighbours()
	}
	if w.device != nil {
		state.ARP = hostNeighbours()
	}
	return state
}

// hostNeighbours are the addresses that the host has seen beyond its devices.
func hostNeighbours() []usernet.Lease {
	known, err := tap.Neighbours()
	if err != nil {
		logf("%v", err)
		return nil
	}
	list := make([]usernet.Lease, len(known))
	for i, n := range known {
		list[i] = usernet.Lease{MAC: n.MAC, Address: n.Address}
	}
	return list
}

// close takes the way out down, and with it what was made of a tap.
func (w *wayOut) close() {
	if w.port != nil {
		_ = w.port.Close()
	}
	if w.gateway != nil {
		if err := w.gateway.Close(); err != nil {
			logf("the gateway: %v", err)
		}
	}
	if w.device != nil && w.port == nil {
		_ = w.device.Close()
	}
}
