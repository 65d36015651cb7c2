package netd

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"
	"golang.org/x/sys/unix"

	"virtumld/internal/rundir"
	"virtumld/internal/supervisor/process"
)

// stopTime is how long a process may take to end when it is asked to, killTime
// how long when it is killed.
const (
	stopTime = 5 * time.Second
	killTime = 10 * time.Second
)

// Process is a network's process, started or found again.
type Process struct {
	dir   string
	id    process.ID
	ended chan struct{}
	// parent is the end of the pipe that a process with Spec.Parent watches.
	parent *os.File
}

// children keeps the started processes, and with them the pipes that they
// watch, whatever becomes of who started them.
var children sync.Map

func newProcess(dir string) *Process {
	return &Process{dir: dir, ended: make(chan struct{})}
}

// Find finds the process that serves the folder dir; fs.ErrNotExist says that
// there is none.
func Find(ctx context.Context, dir string) (*Process, error) {
	c, err := connect(ctx, dir)
	if err != nil {
		return nil, err
	}
	c.Close()
	p := newProcess(dir)
	if err := rundir.ReadJSON(dir, processFile, &p.id); err != nil {
		return nil, failed(libvirt.ErrInternalError, "cannot tell which process serves the network: %w", err)
	}
	pidfd, err := p.id.Open()
	if errors.Is(err, unix.ESRCH) {
		return nil, notServed(dir)
	}
	if err != nil {
		return nil, err
	}
	go p.watch(pidfd)
	return p, nil
}

// PID is the process's.
func (p *Process) PID() int { return p.id.PID }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.ended }

// watch waits for the end of a process that is no child.
func (p *Process) watch(pidfd int) {
	awaitEnd(pidfd)
	close(p.ended)
}

// awaitEnd waits on a pidfd, without a thread of its own.
func awaitEnd(pidfd int) {
	_ = unix.SetNonblock(pidfd, true) // else AwaitEnd fails
	file := os.NewFile(uintptr(pidfd), "pidfd")
	_ = process.AwaitEnd(file)
	file.Close()
}

// reap waits for the end of a child.
func (p *Process) reap(child *os.Process, pidfd int) {
	children.Store(p, nil)
	if pidfd >= 0 {
		awaitEnd(pidfd)
	}
	_, _ = child.Wait()
	closeFile(p.parent)
	children.Delete(p)
	close(p.ended)
}

// Stop ends the process and removes its sockets, and returns when it is gone.
// One that does not end in time, or by the end of ctx, is killed.
func (p *Process) Stop(ctx context.Context) error {
	patience, cancel := context.WithTimeout(ctx, stopTime)
	defer cancel()
	p.terminate()
	select {
	case <-p.ended:
	case <-patience.Done():
		if err := p.id.Kill(killTime); err != nil {
			return failed(libvirt.ErrOperationFailed, "cannot end the network's process: %w", err)
		}
		<-p.ended
	}
	removeFiles(p.dir)
	return nil
}

// terminate asks the process to end.
func (p *Process) terminate() {
	pidfd, err := p.id.Open()
	if err != nil {
		return
	}
	_ = unix.PidfdSendSignal(pidfd, unix.SIGTERM, nil, 0) // it may be gone
	unix.Close(pidfd)
}
