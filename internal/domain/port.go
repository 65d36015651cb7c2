package domain

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/domxml"
	"virtumld/internal/netswitch"
	"virtumld/internal/virerr"
)

// Plug is a Guest whose interfaces can be changed while it runs: any but one
// that somebody started by hand.
type Plug interface {
	// AttachInterface gives the guest n, which is one of def's.
	AttachInterface(ctx context.Context, def *domxml.Definition, n domxml.Interface) error
	// DetachInterface takes n away. One that is up in the guest is refused
	// with ErrOperationFailed.
	DetachInterface(ctx context.Context, n domxml.Interface) error
	// UpdateInterface makes was into next, which has the same alias.
	UpdateInterface(ctx context.Context, was, next domxml.Interface) error
}

func plugOf(guest Guest) (Plug, error) {
	if plug, ok := guest.(Plug); ok {
		return plug, nil
	}
	return nil, virerr.New(libvirt.ErrOperationUnsupported,
		"the interfaces of a guest that was started by hand cannot be changed while it runs")
}

// Networking is the part of a Machine that knows what happens on guests'
// interfaces.
type Networking interface {
	// InterfaceStats are the counters of the interfaces of def's running
	// guest, by alias. Those that cannot be told are left out.
	InterfaceStats(ctx context.Context, def *domxml.Definition) (map[string]netswitch.Counters, error)
	// InterfaceAddresses are the addresses of the interfaces of def's
	// running guest, by alias: those that it has leased, or those that it
	// has been seen to use.
	InterfaceAddresses(ctx context.Context, def *domxml.Definition, source AddressSource) (map[string][]Address, error)
}

// InterfaceStats are the counters of the running guest's interfaces, by alias.
func (d *Domain) InterfaceStats(ctx context.Context) (map[string]netswitch.Counters, error) {
	v := d.View()
	if v.Live == nil {
		return nil, ErrNotRunning()
	}
	return d.list.machine.InterfaceStats(ctx, v.Live)
}

// InterfaceAddresses are the addresses of the running guest's interfaces, by
// alias.
func (d *Domain) InterfaceAddresses(ctx context.Context, source AddressSource) (map[string][]Address, error) {
	v := d.View()
	if v.Live == nil {
		return nil, ErrNotRunning()
	}
	return d.list.machine.InterfaceAddresses(ctx, v.Live, source)
}

// named gives the interfaces of a guest that is about to run their names on
// the host and their ports' uuids. Names are never used twice by one daemon,
// as libvirt does it (src/util/virnetdev.c, virNetDevGenerateName).
func (l *List) named(def *domxml.Definition) *domxml.Definition {
	def = def.WithPorts(func(prefix string) string {
		for {
			name := prefix + strconv.FormatInt(l.lastPort.Add(1)-1, 10)
			if _, err := os.Lstat(filepath.Join("/sys/class/net", name)); err != nil {
				return name
			}
		}
	})
	if l.bridgeOf == nil {
		return def
	}
	for i := range def.Interfaces { // WithPorts has made its own
		if n := &def.Interfaces[i]; n.Type == domxml.InterfaceNetwork {
			n.Bridge = l.bridgeOf(n.Source)
		}
	}
	return def
}

// keepNames has named pass over the names that def's running guest has.
func (l *List) keepNames(def *domxml.Definition) {
	for _, n := range def.Interfaces {
		digits := strings.TrimLeft(n.Target, "abcdefghijklmnopqrstuvwxyz")
		number, err := strconv.ParseInt(digits, 10, 32)
		if err != nil {
			continue
		}
		for last := l.lastPort.Load(); last <= number && !l.lastPort.CompareAndSwap(last, number+1); last = l.lastPort.Load() {
		}
	}
}
