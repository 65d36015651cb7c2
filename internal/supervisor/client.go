package supervisor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"sync"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/domxml"
	"virtumld/internal/supervisor/process"
	"virtumld/internal/virerr"
)

// Facts are what a supervisor says of its guest.
type Facts struct {
	SupervisorPID int
	// GuestPID is the kernel's main process in the host's view, 0 while
	// there is none (between two boots, preserved after a crash).
	GuestPID int
	// PTYs maps a line to the path of its pty.
	PTYs map[string]string
	// Mconsole is the host path of the guest's mconsole socket, and ReplyDir
	// the folder in which the kernel can answer (mconsole.ReplyIn).
	Mconsole, ReplyDir string
	// Interfaces are the guest's network interfaces, those that came later
	// included.
	Interfaces []InterfaceFacts
	// Kernel is the kernel binary on the host.
	Kernel string
	// Contained says that the guest runs in namespaces of its own.
	Contained bool
	// Ready says that the kernel of this boot has reported ready, Held that
	// it waits for Run, Preserved that the guest has crashed and is kept,
	// Frozen that it is stopped by Freeze.
	Ready, Held, Preserved, Frozen bool
}

// Root is how the guest's kernel names what Root stands for.
func (f *Facts) Root() string {
	if f.Contained {
		return ""
	}
	return plainRoot
}

// EventType says what a supervisor tells.
type EventType string

// What a supervisor tells of its guest, in this order of life: Made, Ready,
// any number of Rebooted (each followed by Ready) and Panicked, then Exited.
const (
	// Made: the consoles are there and the kernel runs, or waits for Run.
	// Start takes it in; it is not among a Handle's Events.
	Made     EventType = "made"
	Ready    EventType = "ready"
	Rebooted EventType = "rebooted"
	Panicked EventType = "panicked"
	Exited   EventType = "exited"
)

// Event is something that happened to the guest.
type Event struct {
	Type EventType
	Text string `json:",omitempty"`
	Exit *Exit  `json:",omitempty"`
}

// Exit is the record of a guest's end, kept as exit.json until the daemon has
// read it.
type Exit struct {
	// Cause is a domain.Cause: "shutdown", "destroyed", "crashed", "failed".
	Cause  string
	ByHost bool
	// Status is the kernel's exit status, Signal what killed it.
	Status, Signal int
	// Text is the exit in words; on a failed start, the kernel's last words.
	Text string
}

// Intent is what the host has just asked the guest's init for, so that the
// exit that follows is read rightly.
type Intent string

// The intents.
const (
	IntentNone     Intent = ""
	IntentShutdown Intent = "shutdown"
	IntentReboot   Intent = "reboot"
)

// killPatience is how long a supervisor may take to end its guest before it is
// killed itself, and the guest with it.
const killPatience = 15 * time.Second

// Handle is the daemon's hold on a supervisor: a connection to its control
// socket. The supervisor goes on without it.
type Handle struct {
	dir string
	// events is closed by the reader.
	events chan Event
	// closed ends the reader's wait for somebody to take an event.
	closed chan struct{}
	reader sync.WaitGroup

	// mu guards all below; nothing is sent or received under it.
	mu      sync.Mutex
	conn    *net.UnixConn
	facts   Facts
	self    process.ID
	pending map[int]chan error
	lastID  int
	over    bool // the guest has exited, or Close was called
	left    bool // Close was called
	killing bool // Kill was called
}

// Facts returns what is known of the guest now.
func (h *Handle) Facts() Facts {
	h.mu.Lock()
	defer h.mu.Unlock()
	facts := h.facts
	facts.PTYs = maps.Clone(facts.PTYs)
	return facts
}

// Events delivers the guest's events; it is closed after Exited or Close.
func (h *Handle) Events() <-chan Event { return h.events }

// Kill ends every process of the guest and returns when they are gone. A
// supervisor that does not do so in time is killed itself.
func (h *Handle) Kill(ctx context.Context) error {
	h.mu.Lock()
	h.killing = true
	self := h.self
	h.mu.Unlock()
	patience, cancel := context.WithTimeout(ctx, killPatience)
	defer cancel()
	err := h.call(patience, request{Command: cmdKill})
	switch {
	case err == nil, h.exited():
		return nil
	case ctx.Err() != nil, patience.Err() == nil:
		return err
	}
	if err := self.Kill(killPatience); err != nil {
		return virerr.New(libvirt.ErrOperationFailed, "cannot kill the guest's supervisor: %w", err)
	}
	// The reader sees the connection end and cleans up.
	done := make(chan struct{})
	go func() { h.reader.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return late(ctx)
	}
}

// exited reports whether the guest has ended, as far as is known here.
func (h *Handle) exited() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.over && !h.left
}

// Terminate sends the kernel SIGTERM and waits for the end of every process.
// It fails with ErrResourceBusy when ctx ends first.
func (h *Handle) Terminate(ctx context.Context) error {
	err := h.call(ctx, request{Command: cmdTerminate})
	if err != nil && ctx.Err() != nil {
		return virerr.New(libvirt.ErrResourceBusy, "the guest's kernel does not end on SIGTERM: %w", ctx.Err())
	}
	return err
}

// Run lets a guest made with Paused boot; it returns at once, Ready follows.
func (h *Handle) Run(ctx context.Context) error { return h.call(ctx, request{Command: cmdRun}) }

// Reset kills the kernel and starts it anew.
func (h *Handle) Reset(ctx context.Context) error { return h.call(ctx, request{Command: cmdReset}) }

// Expect tells the supervisor what the host has asked the guest for.
func (h *Handle) Expect(ctx context.Context, intent Intent) error {
	return h.call(ctx, request{Command: cmdExpect, Intent: intent})
}

// Freeze stops every process of a guest whose kernel is in seccomp mode. Its
// mconsole does not answer until Thaw.
func (h *Handle) Freeze(ctx context.Context) error { return h.call(ctx, request{Command: cmdFreeze}) }

// Thaw lets a frozen guest go on.
func (h *Handle) Thaw(ctx context.Context) error { return h.call(ctx, request{Command: cmdThaw}) }

// SetActions changes the guest's lifecycle actions.
func (h *Handle) SetActions(ctx context.Context, onPoweroff, onReboot, onCrash domxml.Action) error {
	return h.call(ctx, request{Command: cmdActions, Actions: &actions{onPoweroff, onReboot, onCrash}})
}

// Close lets go of the supervisor, which goes on.
func (h *Handle) Close() error {
	h.mu.Lock()
	first := !h.left
	h.over, h.left = true, true
	conn := h.conn
	h.conn = nil
	h.mu.Unlock()
	if first {
		close(h.closed)
		if conn != nil {
			conn.Close()
		}
	}
	h.reader.Wait()
	return nil
}

// call sends one request and waits for its answer.
func (h *Handle) call(ctx context.Context, r request) error {
	answer, conn, err := h.expectAnswer(&r)
	if err != nil {
		return err
	}
	if err := send(conn, r); err != nil {
		// The reader finds out whether the supervisor lives; either it
		// answers the request as failed or its time runs out.
		err = virerr.New(libvirt.ErrInternalError, "cannot reach the guest's supervisor: %w", err)
		h.settle(r.ID, err)
	}
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		h.settle(r.ID, nil)
		return late(ctx)
	}
}

func (h *Handle) expectAnswer(r *request) (chan error, *net.UnixConn, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over || h.conn == nil {
		return nil, nil, errGone()
	}
	h.lastID++
	r.ID = h.lastID
	answer := make(chan error, 1)
	h.pending[r.ID] = answer
	return answer, h.conn, nil
}

// settle answers a pending request, once.
func (h *Handle) settle(id int, err error) {
	h.mu.Lock()
	answer := h.pending[id]
	delete(h.pending, id)
	h.mu.Unlock()
	if answer != nil {
		answer <- err
	}
}

func errGone() error {
	return virerr.New(libvirt.ErrOperationInvalid, "the guest has ended")
}

func late(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return virerr.New(libvirt.ErrOperationTimeout, "the guest's supervisor does not answer: %w", ctx.Err())
	}
	return ctx.Err()
}

// Forget removes the folder of a guest that has ended and of which the daemon
// has taken note.
func Forget(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("cannot remove the ended guest's folder: %w", err)
	}
	return nil
}
