package domain_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	libvirt "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"

	"virtumld/internal/domain"
	"virtumld/internal/domxml"
	"virtumld/internal/virerr"
)

func wantCode(t *testing.T, err error, code libvirt.ErrorNumber, text string) {
	t.Helper()
	if !virerr.Is(err, code) || !strings.Contains(err.Error(), text) {
		t.Fatalf("error %v, want code %d and %q", err, code, text)
	}
}

func TestDefineClashes(t *testing.T) {
	b := newBench(t)
	d := b.define("a")
	id := d.View().UUID

	_, err := b.Define(t.Context(), definition(t, "b", id))
	wantCode(t, err, libvirt.ErrOperationFailed, "domain 'a' is already defined with uuid "+id.String())
	_, err = b.Define(t.Context(), definition(t, "a", uuid.New()))
	wantCode(t, err, libvirt.ErrOperationFailed, "domain 'a' already exists with uuid "+id.String())
	b.quiet()

	if _, err := b.Define(t.Context(), definition(t, "a", id)); err != nil {
		t.Fatal(err)
	}
	b.expect("0/1")
}

func TestRefusedDefinitionLeavesNothing(t *testing.T) {
	b := newBench(t)
	def, err := definition(t, "a", uuid.New()).WithVCPUs(2, 2)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Define(t.Context(), def); err == nil {
		t.Fatal("defined what the machine refuses")
	}
	_, err = b.ByName("a")
	wantCode(t, err, libvirt.ErrNoDomain, "no domain with matching name 'a'")
	b.quiet()
}

// A client that has gone before its call begins gets it all the same, and none
// of its calls leaves a place taken.
func TestClientGone(t *testing.T) {
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	b := newBench(t)
	for i := range 20 {
		name := fmt.Sprint("vm", i)
		d, err := b.Define(gone, definition(t, name, uuid.New()))
		if err != nil {
			t.Fatal(err)
		}
		b.expect("0/0")
		if err := d.Undefine(gone); err != nil {
			t.Fatal(err)
		}
		b.expect("1/0")
	}
}

func TestRunOfPersistentDomain(t *testing.T) {
	b := newBench(t)
	d := b.define("a")
	b.inState(d, libvirt.DomainShutoff, int32(libvirt.DomainShutoffUnknown))
	guest := b.start(d)
	b.inState(d, libvirt.DomainRunning, int32(libvirt.DomainRunningBooted))
	if v := d.View(); v.ID != 1 || !strings.Contains(v.XML(false, false), "/dev/pts/9") {
		t.Fatalf("id %d, document %s", v.ID, v.XML(false, false))
	}
	err := d.Start(t.Context(), domain.RunOptions{})
	wantCode(t, err, libvirt.ErrOperationInvalid, "domain is already running")

	guest.exit(domain.Exit{Cause: domain.CauseShutdown})
	b.expect("6/1", "5/0")
	b.inState(d, libvirt.DomainShutoff, int32(libvirt.DomainShutoffShutdown))
	if b.start(d); d.View().ID != 2 {
		t.Fatalf("second id %d, want 2", d.View().ID)
	}
}

func TestEnds(t *testing.T) {
	for _, test := range []struct {
		exit   domain.Exit
		events []string
		reason libvirt.DomainShutoffReason
	}{
		{domain.Exit{Cause: domain.CauseShutdown, ByHost: true}, []string{"6/2", "5/0"}, libvirt.DomainShutoffShutdown},
		{domain.Exit{Cause: domain.CauseDestroyed}, []string{"5/1"}, libvirt.DomainShutoffDestroyed},
		{domain.Exit{Cause: domain.CauseCrashed}, []string{"5/2"}, libvirt.DomainShutoffCrashed},
		{domain.Exit{Cause: domain.CauseFailed}, []string{"5/5"}, libvirt.DomainShutoffFailed},
	} {
		t.Run(string(test.exit.Cause), func(t *testing.T) {
			b := newBench(t)
			d := b.define("a")
			b.start(d).exit(test.exit)
			b.expect(test.events...)
			b.inState(d, libvirt.DomainShutoff, int32(test.reason))
		})
	}
}

func TestTransientVanishes(t *testing.T) {
	b := newBench(t)
	d, err := b.Create(t.Context(), definition(t, "a", uuid.New()), domain.RunOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b.expect("2/0")
	wantCode(t, d.Undefine(t.Context()), libvirt.ErrOperationInvalid, "cannot undefine transient domain")
	wantCode(t, d.SetAutostart(t.Context(), true), libvirt.ErrOperationInvalid, "transient")
	if err := d.Destroy(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	b.expect("5/1")
	if _, err := b.ByName("a"); err == nil {
		t.Fatal("a transient domain outlived its guest")
	}
}

func TestUndefineWhileRunning(t *testing.T) {
	b := newBench(t)
	d := b.define("a")
	guest := b.start(d)
	if err := d.Undefine(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.expect("1/0")
	if v := d.View(); v.Persistent() || !v.Active() {
		t.Fatalf("persistent %v, active %v", v.Persistent(), v.Active())
	}
	guest.exit(domain.Exit{Cause: domain.CauseCrashed})
	b.expect("5/2")
	if _, err := b.ByName("a"); err == nil {
		t.Fatal("the undefined domain is still there")
	}
}

func TestFailedStart(t *testing.T) {
	b := newBench(t)
	d := b.define("a")
	b.machine.startErr = errors.New("no such kernel")
	if err := d.Start(t.Context(), domain.RunOptions{}); !errors.Is(err, b.machine.startErr) {
		t.Fatal(err)
	}
	b.expect("5/5")
	b.inState(d, libvirt.DomainShutoff, int32(libvirt.DomainShutoffFailed))
	if b.Busy() {
		t.Fatal("a failed start keeps the daemon busy")
	}
}

func TestDestroyDuringStart(t *testing.T) {
	b := newBench(t)
	d := b.define("a")
	b.machine.hold, b.machine.starting = make(chan struct{}), make(chan struct{})
	started := make(chan error)
	go func() { started <- d.Start(t.Context(), domain.RunOptions{}) }()
	<-b.machine.starting
	b.inState(d, libvirt.DomainPaused, int32(libvirt.DomainPausedStartingUp))
	if err := d.Destroy(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if err := <-started; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	b.expect("5/1")
	b.inState(d, libvirt.DomainShutoff, int32(libvirt.DomainShutoffDestroyed))
}

func TestSuspendResume(t *testing.T) {
	b := newBench(t)
	d := b.define("a")
	wantCode(t, d.Suspend(t.Context()), libvirt.ErrOperationInvalid, "domain is not running")
	b.start(d)
	wantCode(t, d.Resume(t.Context()), libvirt.ErrOperationInvalid, "already running")
	for range 2 { // suspending twice is no error
		if err := d.Suspend(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	b.expect("3/0")
	b.inState(d, libvirt.DomainPaused, int32(libvirt.DomainPausedUser))
	if err := d.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.expect("4/0")
	b.inState(d, libvirt.DomainRunning, int32(libvirt.DomainRunningUnpaused))
}

func TestCrash(t *testing.T) {
	b := newBench(t)
	def, err := definition(t, "a", uuid.New()).WithActions(domxml.ActionDestroy, domxml.ActionRestart, domxml.ActionPreserve)
	if err != nil {
		t.Fatal(err)
	}
	d, err := b.Define(t.Context(), def)
	if err != nil {
		t.Fatal(err)
	}
	b.expect("0/0")
	guest := b.start(d)
	guest.events <- domain.Event{Type: domain.Panicked, Text: "boom"}
	b.expect("8/0")
	b.inState(d, libvirt.DomainCrashed, int32(libvirt.DomainCrashedPanicked))
	wantCode(t, d.Resume(t.Context()), libvirt.ErrOperationInvalid, "crashed")
	if err := d.Destroy(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	b.expect("5/1")
}

func TestReboot(t *testing.T) {
	b := newBench(t)
	d := b.define("a")
	guest := b.start(d)
	guest.events <- domain.Event{Type: domain.Rebooted}
	b.expect("reboot")
	b.inState(d, libvirt.DomainRunning, int32(libvirt.DomainRunningBooted))

	if err := d.Suspend(t.Context()); err != nil {
		t.Fatal(err)
	}
	guest.events <- domain.Event{Type: domain.Rebooted} // by a reset
	b.expect("3/0", "reboot", "4/0")
	b.inState(d, libvirt.DomainRunning, int32(libvirt.DomainRunningBooted))
}

func TestRename(t *testing.T) {
	b := newBench(t)
	d := b.define("a")
	b.define("b")
	wantCode(t, d.Rename(t.Context(), "b"), libvirt.ErrOperationInvalid, "domain with name 'b' already exists")
	if err := d.Rename(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	b.expect("1/1", "0/2")
	if _, err := b.ByName("a"); err == nil {
		t.Fatal("the old name still leads somewhere")
	}
	if found, err := b.ByName("c"); err != nil || found != d {
		t.Fatal(found, err)
	}
	if v := b.again().Views(); len(v) != 2 {
		t.Fatalf("%d domains after a restart, want 2", len(v))
	}
}

func TestAutodestroy(t *testing.T) {
	b := newBench(t)
	d := b.define("a")
	owner := new(int)
	if err := d.Start(t.Context(), domain.RunOptions{Owner: owner}); err != nil {
		t.Fatal(err)
	}
	b.expect("2/0")
	b.DestroyOwned(t.Context(), new(int))
	b.quiet()
	b.DestroyOwned(t.Context(), owner)
	b.expect("5/1")
}

func TestEditSides(t *testing.T) {
	b := newBench(t)
	d := b.define("a")
	title := func(target domain.Target, text string) error {
		return d.Edit(t.Context(), domain.Edit{
			Job: "test", Target: target,
			Change: func(def *domxml.Definition) (*domxml.Definition, error) {
				return def.WithMetadata(domxml.MetadataTitle, text, "", "")
			},
			Tell: []domain.Change{{Metadata: &domain.MetadataChange{Type: domxml.MetadataTitle}}},
		})
	}
	wantCode(t, title(domain.Target{Live: true}, "x"), libvirt.ErrOperationInvalid, "domain is not running")
	b.start(d)
	if err := title(domain.Target{}, "live"); err != nil {
		t.Fatal(err)
	}
	if err := title(domain.Target{Config: true}, "config"); err != nil {
		t.Fatal(err)
	}
	b.expect("metadata 1", "metadata 1")
	v := d.View()
	if v.Live.Title != "live" || v.Config.Title != "config" {
		t.Fatalf("live %q, config %q", v.Live.Title, v.Config.Title)
	}
	next := b.again()
	again, err := next.ByName("a")
	if err != nil {
		t.Fatal(err)
	}
	if v := again.View(); v.Live == nil || v.Live.Title != "live" || v.Config.Title != "config" {
		t.Fatalf("after a restart: %+v", v)
	}
}

// A change of both sides that cannot be kept is taken back from the guest.
func TestEditFails(t *testing.T) {
	b := newBench(t)
	d := b.define("a")
	guest := b.start(d)
	if err := os.RemoveAll(b.config); err != nil {
		t.Fatal(err)
	}
	var applied []domxml.Action
	err := d.Edit(t.Context(), domain.Edit{
		Job: "test", Target: domain.Target{Live: true, Config: true},
		Change: func(def *domxml.Definition) (*domxml.Definition, error) {
			return def.WithActions(domxml.ActionRestart, def.OnReboot, def.OnCrash)
		},
		Apply: func(ctx context.Context, g domain.Guest, live *domxml.Definition) error {
			applied = append(applied, live.OnPoweroff)
			return g.SetActions(ctx, live.OnPoweroff, live.OnReboot, live.OnCrash)
		},
	})
	if err == nil || !slices.Equal(applied, []domxml.Action{domxml.ActionRestart, domxml.ActionDestroy}) {
		t.Fatalf("applied %v, then %v", applied, err)
	}
	if v := d.View(); v.Live.OnPoweroff != domxml.ActionDestroy || v.Config.OnPoweroff != domxml.ActionDestroy {
		t.Fatalf("live %s, config %s", v.Live.OnPoweroff, v.Config.OnPoweroff)
	}
	guest.exit(domain.Exit{Cause: domain.CauseShutdown})
	b.expect("6/1", "5/0")
}

func TestRestartOfTheDaemon(t *testing.T) {
	b := newBench(t)
	running, ended, transient := b.define("running"), b.define("ended"), definition(t, "transient", uuid.New())
	b.start(running)
	b.start(ended)
	if _, err := b.Create(t.Context(), transient, domain.RunOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := running.Suspend(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.machine.exits[ended.View().UUID] = domain.Exit{Cause: domain.CauseCrashed}

	next := b.again()
	d, err := next.ByName("running")
	if err != nil {
		t.Fatal(err)
	}
	if v := d.View(); v.ID != 1 || v.State != libvirt.DomainPaused || !v.Persistent() {
		t.Fatalf("running domain came back as %+v", v)
	}
	d, err = next.ByName("ended")
	if err != nil {
		t.Fatal(err)
	}
	next.inState(d, libvirt.DomainShutoff, int32(libvirt.DomainShutoffCrashed))
	next.expect("5/2")
	if d, err = next.ByName("transient"); err != nil || d.View().Persistent() {
		t.Fatal(d, err)
	}
	fresh := next.define("fresh")
	next.start(fresh)
	if id := fresh.View().ID; id != 4 {
		t.Fatalf("the next id is %d, want 4", id)
	}
}

// A definition that comes while the last of its domain goes finds the old
// domain or makes a new one; it never ends up in one that is no longer listed.
func TestDefineMeetsTheEnd(t *testing.T) {
	b := newBench(t)
	def := definition(t, "a", uuid.New())
	ends := map[string]func() error{
		"undefine": func() error {
			d, err := b.Define(t.Context(), def)
			if err != nil {
				return err
			}
			return d.Undefine(t.Context())
		},
		"end of a transient guest": func() error {
			d, err := b.Create(t.Context(), def, domain.RunOptions{})
			if err != nil {
				return err
			}
			return d.Destroy(t.Context(), false)
		},
	}
	go func() {
		for range b.changes { // nobody looks at them here
		}
	}()
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			for range 200 {
				ended := make(chan error)
				go func() { ended <- end() }()
				d, err := b.Define(t.Context(), def)
				if err := errors.Join(err, <-ended); err != nil {
					t.Fatal(err)
				}
				listed, err := b.ByUUID(def.UUID, "a")
				if d.View().Persistent() && listed != d {
					t.Fatalf("the defined domain is not listed: %v", err)
				}
				if err == nil && listed.View().Persistent() {
					if err := listed.Undefine(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
			}
		})
	}
}

// A guest of which it is not known whether it lives is left for the next daemon.
func TestAdoptFails(t *testing.T) {
	b := newBench(t)
	d := b.define("a")
	id := d.View().UUID
	b.start(d)
	b.machine.adoptErr = context.Canceled
	b = b.again()
	d, err := b.ByName("a")
	if err != nil || d.View().Active() {
		t.Fatalf("after a failed adoption: active, or %v", err)
	}
	if b.machine.guest(id) == nil {
		t.Fatal("the guest was forgotten")
	}
	b.machine.adoptErr = nil
	b = b.again()
	if d, err = b.ByName("a"); err != nil || !d.View().Active() {
		t.Fatalf("the next daemon did not find the guest: %v", err)
	}
}
