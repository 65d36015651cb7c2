package uml

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	libvirt "github.com/digitalocean/go-libvirt"
	"golang.org/x/sys/unix"

	"virtumld/internal/domain"
	"virtumld/internal/domxml"
	"virtumld/internal/mconsole"
	"virtumld/internal/supervisor/process"
	"virtumld/internal/virerr"
)

// foreignGuest is a guest that somebody started by hand: a process group and
// a management console, without a supervisor.
type foreignGuest struct {
	dir     string // uml_dir/umid
	pid     int
	pidfd   *os.File
	console *mconsole.Client
	window  *window
	events  chan domain.Event
	closed  chan struct{}
	close   sync.Once

	mu     sync.Mutex // guards: killed
	killed bool
}

// Foreign takes hold of the guest that was started by hand under def's umid.
func (m *Machine) Foreign(ctx context.Context, def *domxml.Definition) (domain.Guest, error) {
	dir := filepath.Join(m.Paths.UMLDir, m.UMID(def))
	pid, err := readPID(filepath.Join(dir, pidName))
	if err != nil {
		return nil, err
	}
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("cannot open process %d: %w", pid, err)
	}
	g := &foreignGuest{
		dir: dir, pid: pid,
		pidfd:   os.NewFile(uintptr(fd), "pidfd"),
		console: mconsole.New(filepath.Join(dir, mconsoleName)),
		events:  make(chan domain.Event),
		closed:  make(chan struct{}),
	}
	g.window = &window{console: g.console}
	// A pid file may be old and its pid given out again; an answer shows
	// that a kernel lives here.
	if _, err := g.console.Version(ctx); err != nil {
		return nil, errors.Join(err, g.pidfd.Close())
	}
	go g.watch()
	return g, nil
}

func readPID(file string) (int, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid <= 0 {
		return 0, fmt.Errorf("%s holds no pid", file)
	}
	return pid, nil
}

// watch tells of the guest's end and ends itself then, or after Detach.
func (g *foreignGuest) watch() {
	defer close(g.events)
	if err := process.AwaitEnd(g.pidfd); err != nil {
		return // detached
	}
	select {
	case g.events <- domain.Event{Type: domain.Exited, Exit: g.exit()}:
	case <-g.closed:
	}
	g.Detach()
}

// exit reads the end from what the kernel leaves: it removes its folder when
// it ends in order, and not when it panics or is killed.
func (g *foreignGuest) exit() domain.Exit {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.killed {
		return domain.Exit{Cause: domain.CauseDestroyed}
	}
	if _, err := os.Stat(g.dir); errors.Is(err, os.ErrNotExist) {
		return domain.Exit{Cause: domain.CauseShutdown}
	}
	return domain.Exit{Cause: domain.CauseCrashed, Text: "the kernel ended without cleaning up " + g.dir}
}

func (g *foreignGuest) Events() <-chan domain.Event { return g.events }

func (g *foreignGuest) Facts() domain.Facts { return domain.Facts{PID: g.pid} }

func (g *foreignGuest) Usage() domain.Usage { return usage(g.pid) }

func (g *foreignGuest) Affinity() []int { return affinity(g.pid) }

func (g *foreignGuest) Sysrq(ctx context.Context, letter byte) error {
	return g.window.sysrq(ctx, letter)
}

func (g *foreignGuest) Proc(ctx context.Context, file string) (string, error) {
	return g.window.proc(ctx, file)
}

// Kill kills the kernel's process group: before 6.13 its helpers and stubs
// outlive it.
func (g *foreignGuest) Kill(ctx context.Context) error {
	if err := g.signal(syscall.SIGKILL); err != nil {
		return err
	}
	return g.awaitEnd(ctx)
}

// Terminate has the kernel end by itself.
func (g *foreignGuest) Terminate(ctx context.Context) error {
	if err := g.signal(syscall.SIGTERM); err != nil {
		return err
	}
	if err := g.awaitEnd(ctx); err != nil {
		g.mu.Lock()
		g.killed = false // its later end will be its own
		g.mu.Unlock()
		return virerr.New(libvirt.ErrResourceBusy, "the guest's kernel (pid %d) has not ended on SIGTERM", g.pid)
	}
	return nil
}

// signal goes to the group only if the kernel leads it, as it does unless its
// starter put it elsewhere.
func (g *foreignGuest) signal(sig syscall.Signal) error {
	g.mu.Lock()
	g.killed = true
	g.mu.Unlock()
	target := g.pid
	if pgid, err := syscall.Getpgid(g.pid); err == nil && pgid == g.pid && sig == syscall.SIGKILL {
		target = -g.pid
	}
	if err := syscall.Kill(target, sig); err != nil && err != syscall.ESRCH {
		return virerr.New(libvirt.ErrSystemError, "cannot end the guest's kernel (pid %d): %w", g.pid, err)
	}
	return nil
}

// awaitEnd waits for the end on a descriptor of its own, which ctx can close.
func (g *foreignGuest) awaitEnd(ctx context.Context) error {
	fd, err := unix.PidfdOpen(g.pid, unix.PIDFD_NONBLOCK)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return err
	}
	pidfd := os.NewFile(uintptr(fd), "pidfd")
	defer pidfd.Close()
	stop := context.AfterFunc(ctx, func() { _ = pidfd.Close() })
	defer stop()
	if process.AwaitEnd(pidfd) != nil {
		return ctx.Err()
	}
	return nil
}

func (g *foreignGuest) Shutdown(ctx context.Context) error {
	return asVirerr(g.console.CtrlAltDel(ctx))
}
func (g *foreignGuest) Reboot(ctx context.Context) error  { return asVirerr(g.console.CtrlAltDel(ctx)) }
func (g *foreignGuest) Reset(ctx context.Context) error   { return asVirerr(g.console.Reboot(ctx)) }
func (g *foreignGuest) Suspend(ctx context.Context) error { return asVirerr(g.console.Stop(ctx)) }
func (g *foreignGuest) Resume(ctx context.Context) error  { return asVirerr(g.console.Go(ctx)) }

// SetActions is refused: nobody stands beside the guest to act.
func (g *foreignGuest) SetActions(context.Context, domxml.Action, domxml.Action, domxml.Action) error {
	return virerr.New(libvirt.ErrOperationUnsupported, "the guest was started by hand, so its ends lead to nothing")
}

// Detach lets go of the guest.
func (g *foreignGuest) Detach() {
	g.close.Do(func() {
		close(g.closed)
		_ = g.pidfd.Close()
	})
}
