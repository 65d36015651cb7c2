package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/guestinit"
	"virtumld/internal/guestinit/link"
	"virtumld/internal/virtuml/connect"
)

// guest is one run under way.
type guest struct {
	plan    plan
	control *libvirt.Libvirt // for calls and events
	lines   *libvirt.Libvirt // for the console, which may wait for our reader
	console *console
	volumes volumes
	domain  libvirt.Domain
	stopped chan int32 // takes the detail of the guest's end
	signals chan os.Signal
}

// runPlan does it all. The status is the command's, or that of a failure.
func runPlan(ctx context.Context, p plan, s streams) (status int, err error) {
	g := &guest{plan: p, console: newConsole(s), stopped: make(chan int32, 1), signals: make(chan os.Signal, 8)}
	// From here on every way out puts things back, so no signal may end the
	// process by itself.
	signal.Notify(g.signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGPIPE, syscall.SIGWINCH)
	defer signal.Stop(g.signals)
	if g.control, err = connect.Dial(ctx, p.place.URI); err != nil {
		return statusFailed, err
	}
	defer func() { _ = g.control.Disconnect() }()
	if g.lines, err = connect.Dial(ctx, p.place.URI); err != nil {
		return statusFailed, err
	}
	defer func() { _ = g.lines.Disconnect() }()
	events, stop := context.WithCancel(ctx)
	defer stop()
	return g.run(events)
}

// run makes the guest, serves it, and takes away what is to go.
func (g *guest) run(ctx context.Context) (status int, err error) {
	from, err := findImage(g.control, g.plan.place, g.plan.image)
	if err != nil {
		return statusFailed, err
	}
	if g.volumes, err = makeVolumes(g.control, g.plan, from); err != nil {
		return statusFailed, err
	}
	if err := g.make(ctx); err != nil {
		return statusFailed, errors.Join(err, g.removeVolumes(ctx))
	}
	status, err = g.attend(ctx)
	return status, errors.Join(err, g.finish(ctx))
}

// make starts the guest, held before its first instruction, so that none of its
// output comes before somebody listens. A guest of --rm ends with our
// connection, however that ends.
func (g *guest) make(ctx context.Context) error {
	document, err := g.plan.document(g.volumes.rootPath, g.volumes.specPath)
	if err != nil {
		return err
	}
	if err := g.watch(ctx); err != nil {
		return err
	}
	if g.plan.remove {
		g.domain, err = g.control.DomainCreateXML(document, libvirt.DomainStartPaused|libvirt.DomainStartAutodestroy)
		return err
	}
	if g.domain, err = g.control.DomainDefineXMLFlags(document, 0); err != nil {
		return err
	}
	started, err := g.control.DomainCreateWithFlags(g.domain, uint32(libvirt.DomainStartPaused))
	if err != nil {
		return errors.Join(err, g.control.DomainUndefineFlags(g.domain, 0))
	}
	g.domain = started
	return nil
}

// watch waits for the event of the guest's end.
func (g *guest) watch(ctx context.Context) error {
	events, err := g.control.LifecycleEvents(ctx)
	if err != nil {
		return err
	}
	go func() {
		for event := range events {
			if event.Dom.Name == g.plan.name && libvirt.DomainEventType(event.Event) == libvirt.DomainEventStopped {
				select {
				case g.stopped <- event.Detail:
				default: // a later run of somebody else's
				}
			}
		}
	}()
	return nil
}

// attend lets the guest run and serves it until it has ended.
func (g *guest) attend(ctx context.Context) (status int, err error) {
	if err := g.console.open(g.lines, g.domain); err != nil {
		return statusFailed, errors.Join(fmt.Errorf("cannot open the guest's console: %w", err), g.destroy())
	}
	defer g.console.close()
	if err := g.control.DomainResume(g.domain); err != nil {
		return statusFailed, errors.Join(err, g.destroy())
	}
	restore, err := g.console.streams.raw()
	if err != nil {
		return statusFailed, errors.Join(err, g.destroy())
	}
	defer restore()
	detail, killed, err := g.serve()
	if err != nil {
		return statusFailed, err
	}
	<-g.console.closed // with it all output has come
	restore()
	return g.verdict(libvirt.DomainEventStoppedDetailType(detail), killed)
}

// serve passes signals on until the guest has stopped. A second one, or one
// before there is a command, ends the guest: killed is then the signal.
func (g *guest) serve() (detail int32, killed syscall.Signal, err error) {
	begun, broken := g.console.begun, g.console.broken
	forwarded := false
	for {
		select {
		case detail := <-g.stopped:
			return detail, killed, nil
		case <-g.control.Disconnected():
			return 0, 0, errors.New("the connection to virtumld was lost; the guest's end is not known")
		case <-begun:
			begun = nil
			g.begin()
		case <-broken:
			broken, killed = nil, syscall.SIGPIPE
			err = g.destroy()
		case s := <-g.signals:
			switch s {
			case syscall.SIGWINCH:
				g.console.resize()
			case syscall.SIGPIPE:
			default:
				if begun == nil && !forwarded {
					forwarded = true
					g.console.word(link.Signal, uint32(s.(syscall.Signal)))
					break
				}
				killed = s.(syscall.Signal)
				err = g.destroy()
			}
		}
		if err != nil {
			return 0, killed, err
		}
	}
}

// begin is what follows once the init listens.
func (g *guest) begin() {
	g.console.resize()
	if g.plan.interactive {
		go g.console.feed(g.console.streams.stdin)
		return
	}
	g.console.word(link.EOF, 0)
}

// destroy ends the guest at once. One that has just ended is as good.
func (g *guest) destroy() error {
	err := g.control.DomainDestroy(g.domain)
	var failure libvirt.Error
	if errors.As(err, &failure) && (failure.Code == uint32(libvirt.ErrOperationInvalid) || failure.Code == uint32(libvirt.ErrNoDomain)) {
		return nil
	}
	return err
}

// statusKilled is what a shell reports for SIGKILL.
const statusKilled = 128 + int(syscall.SIGKILL)

// verdict is the exit status after the guest's end.
func (g *guest) verdict(detail libvirt.DomainEventStoppedDetailType, killed syscall.Signal) (int, error) {
	if killed != 0 {
		return 128 + int(killed), nil
	}
	result, err := g.volumes.result(g.control)
	switch {
	case err == nil && result.Error != "":
		return result.Status(), errors.New(result.Error)
	case err == nil:
		return result.Status(), nil
	case !errors.Is(err, guestinit.ErrNoResult):
		return statusFailed, err
	case detail == libvirt.DomainEventStoppedDestroyed:
		return statusKilled, errors.New("the guest was destroyed")
	default:
		return statusFailed, g.explain()
	}
}

// explain says why there was no result, in the kernel's words.
func (g *guest) explain() error {
	words := g.console.boot.String()
	if strings.Contains(words, "Requested init "+guestinit.Path) {
		return fmt.Errorf("the image %s has no %s, which virtuml image import adds to what it makes of files; a disk image with a system of its own is started as a domain, by virt-install --import or virsh", g.plan.image, guestinit.Path)
	}
	if words == "" {
		words = "its kernel said nothing"
	}
	return fmt.Errorf("the guest ended without a result:\n%s", words)
}

// finish leaves what the plan wants left: nothing with --rm, otherwise a
// domain that may be started again, by whom no link is kept.
func (g *guest) finish(ctx context.Context) error {
	if g.plan.remove {
		return g.removeVolumes(ctx)
	}
	spec := g.plan.spec
	spec.Attached = false
	disk, err := guestinit.EncodeDisk(spec)
	if err != nil {
		return err
	}
	return upload(g.control, g.volumes.spec, disk)
}

// removeVolumes removes them over a connection that works.
func (g *guest) removeVolumes(ctx context.Context) error {
	if g.control.IsConnected() {
		return g.volumes.remove(g.control)
	}
	l, err := connect.Dial(context.WithoutCancel(ctx), g.plan.place.URI)
	if err != nil {
		return fmt.Errorf("the volumes %s and %s of the pool %s are left: %w", g.volumes.root.Name, g.volumes.spec.Name, g.volumes.root.Pool, err)
	}
	defer func() { _ = l.Disconnect() }()
	return g.volumes.remove(l)
}
