package domain_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"

	"virtumld/internal/domain"
	"virtumld/internal/domxml"
	"virtumld/internal/store"
)

// fakeMachine plays the machine: its guests live in memory, and outlive a
// List as real ones outlive the daemon.
type fakeMachine struct {
	mu       sync.Mutex
	guests   map[uuid.UUID]*fakeGuest
	exits    map[uuid.UUID]domain.Exit
	startErr error
	adoptErr error
	hold     chan struct{} // when set, Start waits for it or for ctx
	starting chan struct{} // when set, told that a Start waits
}

func newFakeMachine() *fakeMachine {
	return &fakeMachine{guests: map[uuid.UUID]*fakeGuest{}, exits: map[uuid.UUID]domain.Exit{}}
}

func (m *fakeMachine) Check(_ context.Context, def *domxml.Definition) error {
	if def.VCPUs > 1 {
		return errors.New("one vcpu only")
	}
	return nil
}

func (m *fakeMachine) Start(ctx context.Context, def *domxml.Definition, _ domain.StartOptions) (domain.Guest, error) {
	if m.hold != nil {
		m.starting <- struct{}{}
		select {
		case <-m.hold:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.startErr != nil {
		return nil, m.startErr
	}
	g := newFakeGuest()
	m.guests[def.UUID] = g
	return g, nil
}

func (m *fakeMachine) Adopt(_ context.Context, def *domxml.Definition) (domain.Guest, *domain.Exit, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.adoptErr != nil {
		return nil, nil, m.adoptErr
	}
	if exit, ended := m.exits[def.UUID]; ended {
		return nil, &exit, nil
	}
	g := m.guests[def.UUID]
	if g == nil {
		return nil, nil, errors.New("no such guest")
	}
	next := newFakeGuest()
	m.guests[def.UUID] = next
	return next, nil, nil
}

func (m *fakeMachine) Foreign(context.Context, *domxml.Definition) (domain.Guest, error) {
	return newFakeGuest(), nil
}

func (m *fakeMachine) Forget(def *domxml.Definition) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.guests, def.UUID)
	return nil
}

func (m *fakeMachine) DiskInfo(context.Context, *domxml.Definition, string) (domain.DiskInfo, error) {
	return domain.DiskInfo{}, errors.New("no disks here")
}

func (m *fakeMachine) UMID(def *domxml.Definition) string { return def.Name }

func (m *fakeMachine) guest(id uuid.UUID) *fakeGuest {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.guests[id]
}

type fakeGuest struct {
	events chan domain.Event
	end    sync.Once

	mu    sync.Mutex
	asked []string
	fail  error
}

func newFakeGuest() *fakeGuest { return &fakeGuest{events: make(chan domain.Event, 8)} }

func (g *fakeGuest) ask(what string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked = append(g.asked, what)
	return g.fail
}

func (g *fakeGuest) exit(e domain.Exit) {
	g.end.Do(func() {
		g.events <- domain.Event{Type: domain.Exited, Exit: e}
		close(g.events)
	})
}

func (g *fakeGuest) Facts() domain.Facts {
	return domain.Facts{PID: 42, PTYs: map[string]string{"con0": "/dev/pts/9"}, Kernel: "/k"}
}
func (g *fakeGuest) Usage() domain.Usage { return domain.Usage{User: 5, System: 2} }
func (g *fakeGuest) Affinity() []int     { return []int{0} }
func (g *fakeGuest) Sysrq(_ context.Context, letter byte) error {
	return g.ask("sysrq " + string(rune(letter)))
}
func (g *fakeGuest) Proc(_ context.Context, file string) (string, error) {
	return "text of " + file, g.ask("proc " + file)
}
func (g *fakeGuest) Events() <-chan domain.Event { return g.events }
func (g *fakeGuest) Kill(context.Context) error {
	g.exit(domain.Exit{Cause: domain.CauseDestroyed})
	return g.ask("kill")
}
func (g *fakeGuest) Terminate(ctx context.Context) error { return g.Kill(ctx) }
func (g *fakeGuest) Shutdown(context.Context) error      { return g.ask("shutdown") }
func (g *fakeGuest) Reboot(context.Context) error        { return g.ask("reboot") }
func (g *fakeGuest) Reset(context.Context) error         { return g.ask("reset") }
func (g *fakeGuest) Suspend(context.Context) error       { return g.ask("suspend") }
func (g *fakeGuest) Resume(context.Context) error        { return g.ask("resume") }
func (g *fakeGuest) SetActions(context.Context, domxml.Action, domxml.Action, domxml.Action) error {
	return g.ask("actions")
}
func (g *fakeGuest) Detach() { g.end.Do(func() { close(g.events) }) }

// bench is a list with what a test needs around it.
type bench struct {
	*domain.List
	t       *testing.T
	machine *fakeMachine
	store   *store.Store
	config  string
	state   string
	changes chan domain.Change
	bus     *domain.Bus
}

func newBench(t *testing.T) *bench {
	return openBench(t, newFakeMachine(), t.TempDir(), t.TempDir())
}

func openBench(t *testing.T, machine *fakeMachine, config, state string) *bench {
	t.Helper()
	st, err := store.Open(config, state)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{
		t: t, machine: machine, store: st, config: config, state: state,
		changes: make(chan domain.Change, 100), bus: &domain.Bus{},
	}
	b.bus.Subscribe(func(c domain.Change) { b.changes <- c })
	b.List = domain.NewList(st, machine, b.bus, slog.New(slog.NewTextHandler(io.Discard, nil)))
	t.Cleanup(b.close)
	return b
}

func (b *bench) close() {
	b.List.Close()
	_ = b.store.Close()
}

// again is the next daemon on the same files and guests.
func (b *bench) again() *bench {
	b.close()
	next := openBench(b.t, b.machine, b.config, b.state)
	if err := next.Load(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	return next
}

func (b *bench) define(name string) *domain.Domain {
	b.t.Helper()
	d, err := b.Define(b.t.Context(), definition(b.t, name, uuid.New()))
	if err != nil {
		b.t.Fatal(err)
	}
	b.expect("0/0")
	return d
}

func (b *bench) start(d *domain.Domain) *fakeGuest {
	b.t.Helper()
	if err := d.Start(b.t.Context(), domain.RunOptions{}); err != nil {
		b.t.Fatal(err)
	}
	b.expect("2/0")
	return b.machine.guest(d.View().UUID)
}

// expect waits for exactly these changes, in this order: "event/detail",
// "reboot", "added ALIAS", "removed ALIAS" or "metadata N".
func (b *bench) expect(want ...string) {
	b.t.Helper()
	var got []string
	for range want {
		select {
		case c := <-b.changes:
			got = append(got, describe(c))
		case <-time.After(10 * time.Second):
			b.t.Fatalf("changes %q, want %q", got, want)
		}
	}
	if !slices.Equal(got, want) {
		b.t.Fatalf("changes %q, want %q", got, want)
	}
}

func describe(c domain.Change) string {
	switch {
	case c.Lifecycle != nil:
		return fmt.Sprintf("%d/%d", c.Lifecycle.Event, c.Lifecycle.Detail)
	case c.Reboot != nil:
		return "reboot"
	case c.Device != nil && c.Device.Added:
		return "added " + c.Device.Alias
	case c.Device != nil:
		return "removed " + c.Device.Alias
	default:
		return fmt.Sprintf("metadata %d", c.Metadata.Type)
	}
}

// quiet checks that no change is left over.
func (b *bench) quiet() {
	b.t.Helper()
	select {
	case c := <-b.changes:
		b.t.Fatalf("unexpected change %s", describe(c))
	default:
	}
}

func (b *bench) inState(d *domain.Domain, state libvirt.DomainState, reason int32) {
	b.t.Helper()
	if v := d.View(); v.State != state || v.Reason != reason {
		b.t.Fatalf("state %d reason %d, want %d and %d", v.State, v.Reason, state, reason)
	}
}

func definition(t *testing.T, name string, id uuid.UUID) *domxml.Definition {
	t.Helper()
	def, err := domxml.Parse(fmt.Appendf(nil, `<domain type='uml'><name>%s</name><uuid>%s</uuid>
<memory>65536</memory><os><type>uml</type><kernel>/k</kernel></os>
<devices><console type='pty'><target port='0'/></console></devices></domain>`, name, id))
	if err != nil {
		t.Fatal(err)
	}
	return def
}
