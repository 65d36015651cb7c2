package uml

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/domain"
	"virtumld/internal/domxml"
	"virtumld/internal/mconsole"
	"virtumld/internal/supervisor"
	"virtumld/internal/virerr"
)

// killLimit bounds the end of a guest that nobody waits for any more.
const killLimit = 30 * time.Second

// guest is a guest with a supervisor of ours.
type guest struct {
	machine *Machine
	owner   owner
	handle  *supervisor.Handle
	console *mconsole.Client
	window  *window
	kernel  string
	// processors is how many virtual CPUs the guest has.
	processors uint

	events chan domain.Event
	closed chan struct{} // closed by Detach

	over chan struct{} // closed when no more events come

	mu   sync.Mutex    // guards: news
	news chan struct{} // closed and replaced at each event
}

func (m *Machine) newGuest(handle *supervisor.Handle, kernelPath string, def *domxml.Definition) *guest {
	facts := handle.Facts()
	g := &guest{
		machine:    m,
		owner:      ownerOf(def),
		handle:     handle,
		console:    mconsole.New(facts.Mconsole, mconsole.ReplyIn(facts.ReplyDir)),
		kernel:     kernelPath,
		processors: def.VCPUs,
		events:     make(chan domain.Event),
		closed:     make(chan struct{}),
		over:       make(chan struct{}),
		news:       make(chan struct{}),
	}
	g.window = &window{console: g.console}
	m.guests.Store(g.owner.uuid, g)
	go g.relay()
	return g
}

// relay passes the supervisor's events on in the model's words. It ends with
// the supervisor's events: after Exited, or after Detach.
func (g *guest) relay() {
	defer close(g.events)
	defer close(g.over)
	defer g.machine.guests.CompareAndDelete(g.owner.uuid, g)
	for e := range g.handle.Events() {
		g.announce()
		event, tell := asEvent(e)
		if !tell {
			continue
		}
		select {
		case g.events <- event:
		case <-g.closed:
			return
		}
	}
}

// announce wakes those who wait for the guest's state to change.
func (g *guest) announce() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.news)
	g.news = make(chan struct{})
}

func (g *guest) nextNews() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.news
}

// awaitBoot waits while the kernel boots: it has no management console yet. A
// guest that waits for Resume or is preserved boots no further.
func (g *guest) awaitBoot(ctx context.Context) error {
	for {
		news := g.nextNews()
		f := g.handle.Facts()
		if f.Ready || f.Held || f.Preserved {
			return nil
		}
		select {
		case <-news:
		case <-g.over:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("the guest's kernel is not up yet: %w", ctx.Err())
		}
	}
}

func asEvent(e supervisor.Event) (event domain.Event, tell bool) {
	switch e.Type {
	case supervisor.Rebooted:
		return domain.Event{Type: domain.Rebooted}, true
	case supervisor.Panicked:
		return domain.Event{Type: domain.Panicked, Text: e.Text}, true
	case supervisor.Exited:
		return domain.Event{Type: domain.Exited, Exit: *asExit(e.Exit)}, true
	default:
		return domain.Event{}, false
	}
}

// Events delivers what the guest tells of itself.
func (g *guest) Events() <-chan domain.Event { return g.events }

// Facts are the guest's pids and ptys.
func (g *guest) Facts() domain.Facts {
	f := g.handle.Facts()
	return domain.Facts{
		PID: f.GuestPID, SupervisorPID: f.SupervisorPID, PTYs: f.PTYs, Kernel: g.kernel,
		Held: f.Held, Preserved: f.Preserved,
	}
}

// Usage is what all processes of the guest have used.
func (g *guest) Usage() domain.Usage { return usage(g.handle.Facts().GuestPID) }

// Affinity are the host's processors on which the guest may run.
func (g *guest) Affinity() []int { return affinity(g.handle.Facts().GuestPID) }

// Kill ends every process of the guest.
func (g *guest) Kill(ctx context.Context) error { return g.handle.Kill(ctx) }

// Terminate sends SIGTERM to the kernel and waits for its end.
func (g *guest) Terminate(ctx context.Context) error { return g.handle.Terminate(ctx) }

// Shutdown presses control-alt-delete, and has whatever restart comes of it
// count as the guest's end.
func (g *guest) Shutdown(ctx context.Context) error {
	return g.ask(ctx, supervisor.IntentShutdown)
}

// Reboot presses control-alt-delete, and has whatever end comes of it lead to
// a restart.
func (g *guest) Reboot(ctx context.Context) error {
	return g.ask(ctx, supervisor.IntentReboot)
}

// ask tells the supervisor first: the guest's restart may follow at once.
func (g *guest) ask(ctx context.Context, intent supervisor.Intent) error {
	if err := g.awaitBoot(ctx); err != nil {
		return err
	}
	if err := g.handle.Expect(ctx, intent); err != nil {
		return err
	}
	if err := g.console.CtrlAltDel(ctx); err != nil {
		return errors.Join(asVirerr(err), g.handle.Expect(ctx, supervisor.IntentNone))
	}
	return nil
}

// Reset kills the kernel and starts it anew.
func (g *guest) Reset(ctx context.Context) error { return g.handle.Reset(ctx) }

// Suspend stops the guest by mconsole, which also stops a process of the guest
// that is running at the time; SIGSTOP to the kernel would not. But mconsole
// stops one processor alone: a guest with more is frozen by its supervisor.
func (g *guest) Suspend(ctx context.Context) error {
	if err := g.awaitBoot(ctx); err != nil {
		return err
	}
	if g.processors > 1 {
		return g.handle.Freeze(ctx)
	}
	return asVirerr(g.console.Stop(ctx))
}

// Resume lets a stopped guest go on, or a guest that was made paused boot.
func (g *guest) Resume(ctx context.Context) error {
	if g.handle.Facts().Held {
		return g.handle.Run(ctx)
	}
	if g.handle.Facts().Frozen {
		return g.handle.Thaw(ctx)
	}
	if err := g.awaitBoot(ctx); err != nil {
		return err
	}
	return asVirerr(g.console.Go(ctx))
}

// SetActions changes the lifecycle actions.
func (g *guest) SetActions(ctx context.Context, onPoweroff, onReboot, onCrash domxml.Action) error {
	return g.handle.SetActions(ctx, onPoweroff, onReboot, onCrash)
}

// Detach lets go of the guest.
func (g *guest) Detach() {
	close(g.closed)
	_ = g.handle.Close() // a connection to a supervisor that goes on
}

// asVirerr gives mconsole's errors libvirt's codes.
func asVirerr(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, mconsole.ErrTimeout):
		return virerr.New(libvirt.ErrOperationTimeout, "%w", err)
	case errors.Is(err, mconsole.ErrNoGuest):
		return virerr.New(libvirt.ErrOperationFailed, "%w", err)
	default:
		return virerr.In(virerr.UML, libvirt.ErrOperationFailed, "the guest's kernel refused: %w", err)
	}
}
