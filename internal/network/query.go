package network

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"

	libvirt "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"

	"virtumld/internal/netd"
	"virtumld/internal/networkxml"
)

// view is n at this moment; Networks.mu is held.
func (n *network) view() View {
	return View{
		Spec: n.spec, Active: n.active(), Persistent: n.persistent(), Autostart: n.autostart,
		Bridge: n.present().Bridge.Name,
	}
}

// List returns all networks, sorted by name.
func (s *Networks) List() []View {
	s.mu.Lock()
	defer s.mu.Unlock()
	views := make([]View, 0, len(s.byUUID))
	for _, n := range s.byUUID {
		if !n.hidden {
			views = append(views, n.view())
		}
	}
	slices.SortFunc(views, func(a, b View) int { return strings.Compare(a.Name, b.Name) })
	return views
}

// Find returns one network.
func (s *Networks) Find(spec Spec) (View, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.find(spec)
	if err != nil {
		return View{}, err
	}
	return n.view(), nil
}

// XML is the document of the active network, or of the config.
func (s *Networks) XML(spec Spec, inactive bool) (string, error) {
	s.mu.Lock()
	n, err := s.find(spec)
	if err != nil {
		s.mu.Unlock()
		return "", err
	}
	def := n.present()
	if inactive && n.persistent() {
		def = n.config
	}
	s.mu.Unlock()
	return def.XML(), nil
}

// Metadata is the title, the description or an element of <metadata>.
func (s *Networks) Metadata(spec Spec, kind int32, uri string, t Target) (string, error) {
	s.mu.Lock()
	n, err := s.find(spec)
	if err == nil {
		t, err = n.resolve(t, errTransient)
	}
	if err != nil {
		s.mu.Unlock()
		return "", err
	}
	def := n.config
	if t.Live {
		def = n.live
	}
	s.mu.Unlock()
	return def.MetadataOf(kind, uri)
}

// Leases are the leases of an active network, of one MAC when that is not "".
func (s *Networks) Leases(ctx context.Context, spec Spec, mac string) ([]Lease, error) {
	if mac != "" {
		canonical, ok := networkxml.CanonicalMAC(mac)
		if !ok {
			return nil, failf(libvirt.ErrInvalidMac, "%s", mac)
		}
		mac = canonical
	}
	_, def, state, err := s.ask(ctx, spec)
	if err != nil {
		return nil, err
	}
	var leases []Lease
	for _, l := range state.Leases {
		if own, ok := networkxml.CanonicalMAC(l.MAC); mac == "" || (ok && own == mac) {
			leases = append(leases, Lease{Interface: def.Bridge.Name, Lease: l})
		}
	}
	return leases, nil
}

// Ports are the ports of an active network.
func (s *Networks) Ports(ctx context.Context, spec Spec) ([]Port, error) {
	spec, _, state, err := s.ask(ctx, spec)
	if err != nil {
		return nil, err
	}
	ports := make([]Port, 0, len(state.Ports))
	for _, p := range state.Ports {
		id, err := uuid.Parse(p.ID)
		if err != nil {
			// Always the same one, so that clients find the port again.
			id = uuid.NewSHA1(spec.UUID, []byte(p.ID))
		}
		ports = append(ports, Port{Network: spec, UUID: id, PortState: p})
	}
	return ports, nil
}

// ask asks the process of a network how it stands. One that is inactive or has
// no process stands empty, and so does one whose process is just started again.
func (s *Networks) ask(ctx context.Context, spec Spec) (Spec, *networkxml.Network, netd.State, error) {
	s.mu.Lock()
	n, err := s.find(spec)
	if err != nil {
		s.mu.Unlock()
		return spec, nil, netd.State{}, err
	}
	def, live := n.present(), n.live
	s.mu.Unlock()
	if live == nil || !live.Forward.Mode.Virtual() {
		return n.spec, def, netd.State{}, nil
	}
	state, err := s.cfg.Processes.State(ctx, s.dir(n.spec))
	if errors.Is(err, fs.ErrNotExist) {
		return n.spec, def, netd.State{}, nil
	}
	return n.spec, def, state, err
}
