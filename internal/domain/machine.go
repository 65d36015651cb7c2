package domain

import (
	"context"

	"virtumld/internal/domxml"
)

// Machine starts guests and finds running ones again. Package uml implements
// it; package daemon joins the two.
type Machine interface {
	// Check refuses, with virerr's ErrConfigUnsupported, what this host's
	// kernels cannot do. It is called at define time and before a start.
	Check(ctx context.Context, def *domxml.Definition) error
	// Start boots def and returns when the guest is ready, or, with
	// opts.Paused, when it is made and waits for Resume. A failure leaves
	// nothing behind and carries the kernel's own last words.
	Start(ctx context.Context, def *domxml.Definition, opts StartOptions) (Guest, error)
	// Adopt finds the guest that an earlier daemon started for def. When it
	// has ended meanwhile, or ends during Adopt, the Guest is nil and the
	// Exit says how. With an error, which may be ctx's, that is not known.
	Adopt(ctx context.Context, def *domxml.Definition) (Guest, *Exit, error)
	// Foreign takes hold of a guest that somebody started by hand under
	// def's umid. Its Guest has no consoles of ours.
	Foreign(ctx context.Context, def *domxml.Definition) (Guest, error)
	// Forget drops what was kept of def's guest after its end, so that it
	// can be started again.
	Forget(def *domxml.Definition) error
	// UMID is the umid that def's guest has.
	UMID(def *domxml.Definition) string
	// DiskInfo tells the sizes of the image behind def's disk called name:
	// its target or the path of its source.
	DiskInfo(ctx context.Context, def *domxml.Definition, name string) (DiskInfo, error)
	Networking
	// CommandLine is the command line for a shell that starts def's kernel,
	// with libvirt's errors.
	CommandLine(ctx context.Context, def *domxml.Definition) (string, error)
}

// DiskInfo are the sizes of a disk in bytes: what the guest sees, what the
// image takes of the host, and how long the image is.
type DiskInfo struct{ Capacity, Allocation, Physical uint64 }

// StartOptions are the choices of one start.
type StartOptions struct {
	// Paused makes the guest without letting its kernel run.
	Paused bool
}

// Guest is one running guest. Its methods talk to the guest or to its
// supervisor; every one honours ctx, and none is called with a lock held.
type Guest interface {
	// Facts are the guest's pids and ptys.
	Facts() Facts
	// Usage is what all processes of the guest have used.
	Usage() Usage
	// Affinity are the host's processors on which the guest may run.
	Affinity() []int
	// Proc returns the text of a file of the guest's /proc, named without
	// that prefix, or ErrNoFile. A guest that does not answer is not asked again for some
	// seconds: it costs its callers one wait, not one each.
	Proc(ctx context.Context, file string) (string, error)
	// Events delivers what the guest tells of itself, in order. The last
	// is the only one of type Exited; then, or after Detach, it is closed.
	Events() <-chan Event
	// Kill ends every process of the guest and returns when they are gone.
	Kill(ctx context.Context) error
	// Terminate asks the kernel process to end (SIGTERM) and returns when
	// every process is gone, or with ErrResourceBusy when ctx ends first.
	Terminate(ctx context.Context) error
	// Shutdown asks the guest's init to power off; it returns once asked.
	// The restart that a guest makes of it counts as its end.
	Shutdown(ctx context.Context) error
	// Reboot asks the guest's init to reboot; it returns once asked.
	Reboot(ctx context.Context) error
	// Reset restarts the kernel at once, as a reset button does.
	Reset(ctx context.Context) error
	// Sysrq gives the guest's kernel a magic SysRq command, and returns
	// when it has been carried out.
	Sysrq(ctx context.Context, letter byte) error
	// Suspend stops the guest's execution, Resume lets it go on.
	Suspend(ctx context.Context) error
	Resume(ctx context.Context) error
	// SetActions changes the lifecycle actions of the running guest.
	SetActions(ctx context.Context, onPoweroff, onReboot, onCrash domxml.Action) error
	// Detach lets go of the guest, which lives on; no event follows.
	Detach()
}

// Facts are what is known of a running guest.
type Facts struct {
	// PID is the kernel's main process as the host sees it; 0 when the
	// guest is preserved after a crash or waits paused before its boot.
	PID int
	// SupervisorPID is the process that holds the guest, 0 for a foreign one.
	SupervisorPID int
	// PTYs maps a line ("con0", "ssl3") to its pty's path.
	PTYs map[string]string
	// Kernel is the kernel binary's host path.
	Kernel string
	// Held says that the guest waits for Resume before its first boot,
	// Preserved that it has crashed and is kept.
	Held, Preserved bool
}

// EventType says what happened to a guest.
type EventType int

// What a guest tells of itself.
const (
	// Rebooted: the guest has restarted and lives on.
	Rebooted EventType = iota + 1
	// Panicked: the kernel has panicked; Event.Text is its message. The
	// guest is either about to exit or preserved.
	Panicked
	// Exited: the guest is gone; Event.Exit says how.
	Exited
)

// Event is something that happened to a running guest by itself.
type Event struct {
	Type EventType
	Text string
	Exit Exit
}

// Cause says why a guest ended.
type Cause string

// The causes of an end.
const (
	// CauseShutdown: the guest powered off, halted, or rebooted under
	// on_reboot=destroy or after Shutdown.
	CauseShutdown Cause = "shutdown"
	// CauseDestroyed: Kill or Terminate ended it.
	CauseDestroyed Cause = "destroyed"
	// CauseCrashed: the kernel panicked or died by itself.
	CauseCrashed Cause = "crashed"
	// CauseFailed: it was killed from outside, or its supervisor died.
	CauseFailed Cause = "failed"
)

// Exit is a guest's end.
type Exit struct {
	Cause Cause
	// ByHost says that a shutdown was asked for by Shutdown.
	ByHost bool
	// Text is the exit in words, for logs.
	Text string
}
