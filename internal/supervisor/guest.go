package supervisor

import (
	"fmt"
	"os"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"
	"golang.org/x/sys/unix"

	"virtumld/internal/domxml"
	"virtumld/internal/mconsole"
	"virtumld/internal/supervisor/contain"
	"virtumld/internal/supervisor/nic"
	"virtumld/internal/supervisor/process"
	"virtumld/internal/virerr"
)

// guest is one guest's life. All of it belongs to one goroutine, that of make
// and run; what happens elsewhere reaches it by channels.
type guest struct {
	spec  *Spec
	hub   *hub
	self  process.ID
	held  held
	state state

	spawner *contain.Spawner
	kernel  *contain.Process // nil while there is none
	booted  time.Time

	// Of this boot:
	ready    bool
	panicked string
	intent   Intent
	told     bool // Panicked was told
	// terminated: SIGTERM was sent to it.
	terminated bool
	// next is what the host wants done at the kernel's end; nil: the
	// lifecycle actions decide.
	next func()

	everReady bool
	exit      *Exit  // set once the guest has ended for good
	waiting   []call // answered when it has
	resets    []call // answered when the next boot is under way
	crashes   backoff
	retry     <-chan time.Time

	exits chan exited
	spoke chan struct{}

	// changed has what is to be noted of a change of the devices.
	changed  chan func()
	networks nic.Networks
	// over is closed when the guest has ended for good.
	over chan struct{}
}

// exited is the end of a kernel and of all its processes.
type exited struct {
	status unix.WaitStatus
	err    error
}

func newGuest(spec *Spec, hub *hub) *guest {
	return &guest{
		spec: spec, hub: hub,
		spawner: contain.NewSpawner(),
		exits:   make(chan exited, 1),
		spoke:   make(chan struct{}, 1),
		changed: make(chan func()),
		// The running binary, whatever its file has become meanwhile.
		networks: nic.Netd("/proc/self/exe"),
		over:     make(chan struct{}),
	}
}

// make brings up everything and starts the kernel. What it got so far is
// released by release.
func (g *guest) make() error {
	self, err := process.Of(os.Getpid())
	if err != nil {
		return err
	}
	g.self = self
	g.state = state{Supervisor: self, Facts: Facts{SupervisorPID: self.PID, Kernel: g.spec.Kernel, Contained: g.spec.Contain}}
	if err := g.acquire(); err != nil {
		return err
	}
	if err := g.boot(g.spec.Paused); err != nil {
		return err
	}
	return nil
}

// run serves the guest until its end and the daemon has taken note of it.
func (g *guest) run(terminate <-chan os.Signal) {
	g.tell(Event{Type: Made})
	for g.exit == nil {
		select {
		case p := <-g.hub.joins:
			g.welcome(p)
		case p := <-g.hub.leaves:
			g.hub.drop(p)
		case c := <-g.hub.calls:
			g.handle(c)
		case n := <-g.held.notify.Notifications():
			g.notice(n)
		case e := <-g.exits:
			g.ended(e)
		case <-g.spoke:
			g.spokeNow()
		case note := <-g.changed:
			note()
		case <-g.retry:
			g.retry = nil
			g.again()
		case <-terminate:
			g.kill()
		}
	}
	g.linger(nil)
}

// welcome tells a new connection where the guest stands.
func (g *guest) welcome(p *peer) {
	g.hub.join(p)
	facts := g.state.Facts
	p.send(report{Facts: &facts})
}

// handle carries out one command.
func (g *guest) handle(c call) {
	switch c.Command {
	case cmdKill:
		g.waiting = append(g.waiting, c)
		g.kill()
	case cmdTerminate:
		g.waiting = append(g.waiting, c)
		g.terminate()
	case cmdReset:
		g.reset(c)
	case cmdRun:
		err := g.runHeld() // changes the facts
		c.answer(err, g.state.Facts)
	case cmdFreeze:
		err := g.freeze()
		c.answer(err, g.state.Facts)
	case cmdThaw:
		err := g.thaw()
		c.answer(err, g.state.Facts)
	case cmdExpect:
		g.intent = c.Intent
		c.answer(nil, g.state.Facts)
	case cmdOpenInterface, cmdCloseInterface, cmdUpdateInterface:
		g.changeInterface(c)
	case cmdOpenDisk, cmdCloseDisk:
		g.changeDisk(c)
	case cmdActions:
		g.setActions(c.Actions)
		c.answer(nil, g.state.Facts)
	default:
		c.answer(virerr.New(libvirt.ErrInternalError, "the guest's supervisor knows no command '%s'", c.Command), g.state.Facts)
	}
}

func (g *guest) setActions(a *actions) {
	if a != nil {
		g.spec.OnPoweroff, g.spec.OnReboot, g.spec.OnCrash = a.OnPoweroff, a.OnReboot, a.OnCrash
	}
}

// kill ends the guest for good.
func (g *guest) kill() {
	g.next = func() { g.finish(Exit{Cause: causeDestroyed, Text: "destroyed"}) }
	if g.kernel == nil {
		g.next()
		return
	}
	_ = g.kernel.Kill() // a kernel that is gone already is told by exits
}

// terminate asks the kernel process to end. One that has not booted knows no
// signals yet.
func (g *guest) terminate() {
	if g.kernel == nil || g.state.Facts.Held {
		g.kill()
		return
	}
	g.terminated = true
	_ = g.kernel.Signal(unix.SIGTERM)
	_ = g.thaw() // it takes no signal before
}

// reset restarts the kernel, or boots one where there is none.
func (g *guest) reset(c call) {
	g.resets = append(g.resets, c)
	g.retry = nil
	if g.kernel == nil {
		g.again()
		return
	}
	g.next = g.again
	_ = g.kernel.Kill()
}

// runHeld lets a kernel that is held back run.
func (g *guest) runHeld() error {
	if !g.state.Facts.Held || g.kernel == nil {
		return nil
	}
	if err := g.kernel.Release(); err != nil {
		return virerr.New(libvirt.ErrInternalError, "cannot let the guest run: %w", err)
	}
	g.state.Facts.Held = false
	if err := g.kernel.Started(); err != nil {
		return startError(g.spec, err) // its end follows on exits
	}
	g.kernel.Close()
	g.booted = time.Now()
	g.save()
	return nil
}

// notice takes a notification of the kernel. What comes while there is none is
// not from it: whoever is the guest's user can write to the socket.
func (g *guest) notice(n mconsole.Notification) {
	if g.kernel == nil {
		return
	}
	switch n.Type {
	case mconsole.Ready:
		if !g.ownMconsole(n.Text) {
			g.log("the kernel has opened its mconsole at '%s' instead of its own umid's", n.Text)
			g.next = func() {
				g.finish(Exit{Cause: causeFailed, Text: fmt.Sprintf("the kernel did not take the umid '%s'", g.spec.UMID)})
			}
			_ = g.kernel.Kill() // one that is gone already is told by exits
			return
		}
		g.becameReady()
	case mconsole.Panic:
		g.panicked = n.Text
		g.tellPanic()
	}
}

// spokeNow takes the first output of a boot.
func (g *guest) spokeNow() {
	if g.spec.NoMconsole {
		g.becameReady()
	}
}

func (g *guest) becameReady() {
	if g.ready || g.kernel == nil {
		return
	}
	g.ready, g.everReady = true, true
	g.state.Facts.Ready = true
	g.save()
	g.tell(Event{Type: Ready})
}

func (g *guest) tellPanic() {
	if !g.told {
		g.told = true
		g.log("kernel panic: %s", g.panicked)
		g.tell(Event{Type: Panicked, Text: g.panicked})
	}
}

// ended reads a kernel's end and does what follows from it.
func (g *guest) ended(e exited) {
	g.kernel.Close()
	g.closeBoot()
	g.lastNotices()
	select {
	case <-g.spoke:
		g.spokeNow()
	default:
	}
	g.kernel = nil
	g.state.Guest = process.ID{}
	g.state.Facts.GuestPID, g.state.Facts.Held, g.state.Facts.Ready, g.state.Facts.Frozen = 0, false, false, false
	if e.err != nil {
		g.log("%v", e.err)
	}
	g.log("the kernel ended: %s", describe(e.status))
	if g.next != nil {
		next := g.next
		g.next = nil
		next()
		return
	}
	g.judge(e.status)
}

// judge applies the lifecycle actions to an end that nobody asked for here.
func (g *guest) judge(status unix.WaitStatus) {
	ending := ending{
		status: status, ready: g.ready, panicked: g.panicked,
		tails: g.tails(), intent: g.intent, terminated: g.terminated,
	}
	if ending.panicked == "" {
		ending.panicked = panicText(ending.tails)
	}
	result, text := ending.read()
	exit := Exit{Text: text, Status: status.ExitStatus(), ByHost: g.intent == IntentShutdown}
	if status.Signaled() {
		exit.Status, exit.Signal = 0, int(status.Signal())
	}
	action := domxml.ActionDestroy
	switch result {
	case poweredOff:
		exit.Cause, action = causeShutdown, g.spec.OnPoweroff
		if exit.ByHost {
			action = domxml.ActionDestroy
		}
	case rebooted:
		exit.Cause, action = causeShutdown, g.spec.OnReboot
	case crashed:
		exit.Cause, action = causeCrashed, g.spec.OnCrash
		g.panicked = ending.panicked
		if g.panicked == "" {
			g.panicked = text
		}
		g.tellPanic()
	case ended:
		exit.Cause = causeDestroyed
	default:
		exit.Cause = causeFailed
		if !g.everReady {
			exit.Text = joinWords(text, lastWords(g.held.output.Bytes(), g.consoleTail()))
		}
	}
	switch {
	case action == domxml.ActionRestart:
		g.restartLater()
	case action == domxml.ActionPreserve && result == crashed:
		g.preserve()
	default:
		g.finish(exit)
	}
}

func joinWords(text, words string) string {
	if words == "" {
		return text
	}
	return text + ":\n" + words
}

// preserve keeps a crashed guest's consoles and logs until it is destroyed.
func (g *guest) preserve() {
	g.log("preserved after the crash")
	g.state.Facts.Preserved = true
	g.save()
	g.tellFacts()
}

// restartLater boots again at once, or after a while when the last boots did
// not last.
func (g *guest) restartLater() {
	delay := g.crashes.after(time.Since(g.booted))
	if delay == 0 {
		g.again()
		return
	}
	g.log("restarting in %v", delay)
	g.save()
	g.tellFacts()
	g.retry = time.After(delay)
}

// again boots a new kernel on the same consoles.
func (g *guest) again() {
	err := g.boot(false)
	for _, c := range g.resets {
		c.answer(err, g.state.Facts)
	}
	g.resets = nil
	if err != nil {
		g.finish(Exit{Cause: causeFailed, Text: "cannot restart: " + err.Error()})
		return
	}
	g.tell(Event{Type: Rebooted})
}
