package network_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/netd"
	"virtumld/internal/network"
	"virtumld/internal/virerr"
)

// host is a host's processes, which outlive daemons.
type host struct {
	mu      sync.Mutex
	running map[string]*process
	refuse  error         // of the next starts
	changed chan struct{} // closed at the next start or end, and made anew
	starts  int
	state   netd.State
}

type process struct {
	host *host
	spec *netd.Spec
	done chan struct{}
}

func newHost() *host { return &host{running: map[string]*process{}, changed: make(chan struct{})} }

// tick tells those who wait; mu is held.
func (h *host) tick() {
	close(h.changed)
	h.changed = make(chan struct{})
}

func (h *host) Start(_ context.Context, spec *netd.Spec) (network.Process, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	defer h.tick()
	h.starts++
	if h.refuse != nil {
		return nil, h.refuse
	}
	if h.running[spec.Dir] != nil {
		return nil, errors.New("there is such a process")
	}
	p := &process{host: h, spec: spec, done: make(chan struct{})}
	h.running[spec.Dir] = p
	return p, os.MkdirAll(spec.Dir, 0o700)
}

func (h *host) Find(_ context.Context, dir string) (network.Process, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if p := h.running[dir]; p != nil {
		return p, nil
	}
	return nil, fs.ErrNotExist
}

func (h *host) State(_ context.Context, dir string) (netd.State, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.running[dir] == nil {
		return netd.State{}, fs.ErrNotExist
	}
	return h.state, nil
}

func (h *host) Configure(_ context.Context, spec *netd.Spec) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.running[spec.Dir]
	switch {
	case p == nil:
		return fs.ErrNotExist
	case h.refuse != nil:
		return h.refuse
	}
	p.spec = spec
	return nil
}

func (p *process) Done() <-chan struct{} { return p.done }

func (p *process) Stop(context.Context) error {
	p.host.mu.Lock()
	defer p.host.mu.Unlock()
	if p.host.running[p.spec.Dir] == p {
		delete(p.host.running, p.spec.Dir)
		close(p.done)
		p.host.tick()
	}
	return nil
}

// one returns the spec of the only process.
func (h *host) one(t *testing.T) *netd.Spec {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.running) != 1 {
		t.Fatalf("%d processes run, want one", len(h.running))
	}
	for _, p := range h.running {
		return p.spec
	}
	return nil
}

// kill ends all processes as a crash does.
func (h *host) kill() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for dir, p := range h.running {
		delete(h.running, dir)
		close(p.done)
	}
	h.tick()
}

func (h *host) setRefuse(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.refuse = err
}

// await waits until fits, which sees h locked.
func (h *host) await(t *testing.T, fits func() bool) {
	t.Helper()
	limit := time.After(2 * time.Minute)
	for {
		h.mu.Lock()
		ok, changed := fits(), h.changed
		h.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-limit:
			t.Fatal("it does not happen")
		}
	}
}

// instance is one daemon's networks in folders of the test's own.
type instance struct {
	*network.Networks
	t         *testing.T
	dir       string
	host      *host
	noDefault bool

	mu     sync.Mutex
	events []string
}

func open(t *testing.T) *instance {
	t.Helper()
	i := &instance{t: t, dir: t.TempDir(), host: newHost(), noDefault: true}
	i.reopen()
	return i
}

// reopen is the daemon's restart.
func (i *instance) reopen() {
	i.t.Helper()
	if i.Networks != nil {
		must(i.t, i.Close())
	}
	networks, err := network.Open(network.Config{
		ConfigDir: filepath.Join(i.dir, "config"),
		StateDir:  filepath.Join(i.dir, "state"),
		LeaseDir:  filepath.Join(i.dir, "leases"),
		NoDefault: i.noDefault,
		Processes: i.host,
		Log:       slog.New(slog.NewTextHandler(i.t.Output(), nil)),
	})
	must(i.t, err)
	i.t.Cleanup(func() { networks.Close() })
	i.Networks = networks
	must(i.t, networks.Load(i.t.Context()))
	networks.Subscribe(i.note)
}

func (i *instance) note(e network.Event) {
	i.mu.Lock()
	defer i.mu.Unlock()
	text := []string{"defined", "undefined", "started", "stopped"}[e.Lifecycle]
	if e.Metadata {
		text = fmt.Sprintf("metadata %d %s", e.Kind, e.URI)
	}
	i.events = append(i.events, e.Network.Name+" "+text)
}

// told returns and forgets what subscribers were told.
func (i *instance) told() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	text := strings.Join(i.events, ", ")
	i.events = nil
	return text
}

// define defines a network with the given content.
func (i *instance) define(name, content string) network.View {
	i.t.Helper()
	view, err := i.Define(i.t.Context(), document(name, content), true)
	must(i.t, err)
	return view
}

func document(name, content string) string {
	return "<network><name>" + name + "</name>" + content + "</network>"
}

// nat is a NAT network's content with one subnet.
func nat(subnet string) string {
	return fmt.Sprintf("<forward mode='nat'/><ip address='%s.1' netmask='255.255.255.0'><dhcp><range start='%s.2' end='%s.254'/></dhcp></ip>", subnet, subnet, subnet)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// refused checks an error's code and that its text holds part.
func refused(t *testing.T, err error, code libvirt.ErrorNumber, part string) {
	t.Helper()
	var own *virerr.Error
	if !errors.As(err, &own) || own.Code != code || own.Domain != virerr.Network || !strings.Contains(err.Error(), part) {
		t.Errorf("error %v, want code %d of networks and %q", err, code, part)
	}
}

func equal[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

// entries are the names in a folder.
func entries(t *testing.T, dir string) string {
	t.Helper()
	list, err := os.ReadDir(dir)
	must(t, err)
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}
