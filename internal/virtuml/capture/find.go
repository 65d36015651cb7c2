package capture

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	libvirt "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"
	lx "libvirt.org/go/libvirtxml"

	"virtumld/internal/paths"
	"virtumld/internal/virtuml/connect"
)

// place is what is captured: the folder of a network's process, and a port of
// it or "" for the whole network.
type place struct{ name, dir, port string }

// explain says what to do about a network's process that cannot be reached.
func (p place) explain(err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s: only who runs the daemon may capture: %w", p.name, err)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s: its frames do not pass through virtumld; capture those of a bridge or device of the host with tcpdump -i: %w", p.name, err)
	}
	return fmt.Errorf("%s: %w", p.name, err)
}

// finder asks the daemon of a target.
type finder struct {
	*libvirt.Libvirt
	paths paths.Paths
}

// find says what word stands for: a network, a domain with one interface, or
// DOMAIN:INTERFACE.
func find(ctx context.Context, uri, word string) (place, error) {
	target, err := connect.Resolve(uri)
	if err != nil {
		return place{}, err
	}
	l, err := connect.Dial(ctx, uri)
	if err != nil {
		return place{}, err
	}
	defer func() { _ = l.Disconnect() }()
	system := target.URI == connect.System || os.Geteuid() == 0 // whom a system daemon serves by any URI
	f := finder{l, paths.Live(target.Socket, system)}
	network, isNetwork := f.network(word)
	domain, isDomain := f.domain(word)
	if isNetwork && isDomain {
		return place{}, fmt.Errorf("%q is a network and a domain: say %s:INTERFACE, or the network's uuid", word, word)
	}
	switch name, device, _ := strings.Cut(word, ":"); {
	case isNetwork:
		return f.wholeNetwork(network)
	case isDomain:
		return f.port(domain, "")
	default:
		if domain, isDomain = f.domain(name); isDomain && device != "" {
			return f.port(domain, device)
		}
	}
	return place{}, fmt.Errorf("there is neither a network nor a domain %q; virsh net-list and virsh list show them", word)
}

func (f finder) network(word string) (libvirt.Network, bool) {
	if n, err := f.NetworkLookupByName(word); err == nil {
		return n, true
	}
	id, err := uuid.Parse(word)
	if err != nil {
		return libvirt.Network{}, false
	}
	n, err := f.NetworkLookupByUUID(libvirt.UUID(id))
	return n, err == nil
}

func (f finder) domain(word string) (libvirt.Domain, bool) {
	if d, err := f.DomainLookupByName(word); err == nil {
		return d, true
	}
	id, err := uuid.Parse(word)
	if err != nil {
		return libvirt.Domain{}, false
	}
	d, err := f.DomainLookupByUUID(libvirt.UUID(id))
	return d, err == nil
}

func (f finder) wholeNetwork(n libvirt.Network) (place, error) {
	active, err := f.NetworkIsActive(n)
	if err != nil {
		return place{}, err
	}
	if active == 0 {
		return place{}, fmt.Errorf("the network %s is not active: virsh net-start %s", n.Name, n.Name)
	}
	return place{name: "network " + n.Name, dir: f.paths.Network(uuid.UUID(n.UUID).String())}, nil
}

// port finds the interface of a running guest that word names.
func (f finder) port(d libvirt.Domain, word string) (place, error) {
	active, err := f.DomainIsActive(d)
	if err != nil {
		return place{}, err
	}
	if active == 0 {
		return place{}, fmt.Errorf("the domain %s does not run: virsh start %s", d.Name, d.Name)
	}
	document, err := f.DomainGetXMLDesc(d, 0)
	if err != nil {
		return place{}, err
	}
	var def lx.Domain
	if err := xml.Unmarshal([]byte(document), &def); err != nil {
		return place{}, err
	}
	n, err := choose(d.Name, def.Devices.Interfaces, word)
	if err != nil {
		return place{}, err
	}
	return f.interfacePlace(d, n)
}

// choose is the interface that word names; "" is the only one.
func choose(domain string, list []lx.DomainInterface, word string) (*lx.DomainInterface, error) {
	var names []string
	for i := range list {
		n := &list[i]
		if answersTo(n, word) || word == "" && len(list) == 1 {
			return n, nil
		}
		names = append(names, n.Guest.Dev)
	}
	switch {
	case len(list) == 0:
		return nil, fmt.Errorf("the domain %s has no interface", domain)
	case word == "":
		return nil, fmt.Errorf("the domain %s has several interfaces (%s): say %s:%s", domain, strings.Join(names, ", "), domain, names[0])
	}
	return nil, fmt.Errorf("the domain %s has no interface %q, but %s", domain, word, strings.Join(names, ", "))
}

func answersTo(n *lx.DomainInterface, word string) bool {
	return n.Guest.Dev == word || n.Target != nil && n.Target.Dev == word ||
		n.Alias != nil && n.Alias.Name == word || n.MAC != nil && strings.EqualFold(n.MAC.Address, word)
}

// interfacePlace is an interface's port: on a network of its own, or on a
// virtual one.
func (f finder) interfacePlace(d libvirt.Domain, n *lx.DomainInterface) (place, error) {
	p := place{
		name: "interface " + n.Guest.Dev + " of " + d.Name, port: n.Guest.Dev,
		dir: f.paths.PrivateNetwork(uuid.UUID(d.UUID).String(), n.Guest.Dev),
	}
	if n.Source == nil || n.Source.Network == nil {
		return p, nil
	}
	p.port = n.Source.Network.PortID
	if _, err := os.Stat(p.dir); !errors.Is(err, fs.ErrNotExist) {
		return p, nil // the network is a bridge of the host's
	}
	network, err := f.NetworkLookupByName(n.Source.Network.Network)
	if err != nil {
		return place{}, err
	}
	p.dir = f.paths.Network(uuid.UUID(network.UUID).String())
	return p, nil
}
