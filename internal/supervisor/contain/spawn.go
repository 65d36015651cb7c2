package contain

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// InitCommand is the argument that makes the binary run Init.
const InitCommand = "guest-init"

// Spawner starts kernels. The kernel sends a child its parent-death signal
// when the *thread* that made it ends, so one thread makes them all and lives
// as long as the process.
type Spawner struct {
	calls chan func()
}

// NewSpawner returns a Spawner. It has no end but the process's own.
func NewSpawner() *Spawner {
	s := &Spawner{calls: make(chan func())}
	go func() {
		runtime.LockOSThread()
		for call := range s.calls {
			call()
		}
	}()
	return s
}

// Process is a kernel that was started, with everything that it starts.
type Process struct {
	// PID is its main process in the caller's pid namespace.
	PID int

	isolated bool
	control  *os.File
	progress *json.Decoder
	status   *os.File

	// mu guards pidfd, which is -1 once the process was waited for.
	mu    sync.Mutex
	pidfd int
}

// Spawn starts the second stage for plan with the given standard output and
// error, and the channels as descriptors 3 and up. The caller keeps its own
// copies of the files. Started tells what became of it.
func (s *Spawner) Spawn(plan *Plan, output *os.File, channels []*os.File) (*Process, error) {
	planRead, planWrite, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	statusRead, statusWrite, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, planRead.Close(), planWrite.Close())
	}
	defer planRead.Close()
	defer statusWrite.Close()

	p := &Process{isolated: plan.Isolated, control: planWrite, status: statusRead, pidfd: -1}
	err = s.fork(p, output, append(append([]*os.File{}, channels...), planRead, statusWrite))
	if err == nil {
		err = json.NewEncoder(planWrite).Encode(plan)
		if errors.Is(err, syscall.EPIPE) {
			err = nil // it died at once; Started and Wait tell
		}
	}
	if err != nil {
		p.Close()
		return nil, err
	}
	p.progress = json.NewDecoder(statusRead)
	return p, nil
}

// fork clones the second stage on the Spawner's thread.
func (s *Spawner) fork(p *Process, output *os.File, inherited []*os.File) error {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer null.Close()
	files := []uintptr{null.Fd(), output.Fd(), output.Fd()}
	for _, f := range inherited {
		files = append(files, f.Fd())
	}
	planFD := len(files) - 2
	attr := &syscall.ProcAttr{
		Dir:   "/",
		Env:   []string{"GOMAXPROCS=1"},
		Files: files,
		Sys:   sysProcAttr(p.isolated, &p.pidfd),
	}
	argv := []string{"virtumld", InitCommand, strconv.Itoa(planFD)}
	done := make(chan error)
	s.calls <- func() {
		var err error
		p.PID, err = syscall.ForkExec("/proc/self/exe", argv, attr)
		done <- err
	}
	err = <-done
	runtime.KeepAlive(inherited)
	runtime.KeepAlive(output)
	var errno syscall.Errno
	if errors.As(err, &errno) && p.isolated {
		return &Failure{Stage: StageNamespace, Op: "make namespaces", Errno: errno}
	}
	if err != nil {
		return fmt.Errorf("cannot start the second stage: %w", err)
	}
	return nil
}

// sysProcAttr makes a session of the child's own, so that the signals which
// the kernel sends to its process group reach nobody else.
func sysProcAttr(isolated bool, pidfd *int) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setsid: true, PidFD: pidfd}
	if !isolated {
		return attr
	}
	attr.Cloneflags = unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS
	if os.Geteuid() != 0 {
		attr.Cloneflags |= unix.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	return attr
}

// Started returns when the kernel runs or, with Plan.Hold, when all is ready
// for it; after Release, call it again. The error is a *Failure when the
// second stage could tell.
func (p *Process) Started() error {
	ready := false
	for {
		var step progress
		err := p.progress.Decode(&step)
		switch {
		case errors.Is(err, io.EOF) && ready:
			return nil
		case err != nil:
			return errors.New("the second stage of the start has died")
		case step.Failure != nil:
			return step.Failure
		case step.Held:
			return nil
		}
		ready = step.Exec
	}
}

// Release lets a held kernel run.
func (p *Process) Release() error {
	_, err := p.control.Write([]byte{releaseByte})
	return err
}

// releaseByte is what Release writes; Init waits for it.
const releaseByte = 'r'

// Signal sends sig to the kernel's main process.
func (p *Process) Signal(sig syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pidfd < 0 {
		return os.ErrProcessDone
	}
	return unix.PidfdSendSignal(p.pidfd, sig, nil, 0)
}

// Kill ends the kernel; Wait ends what it leaves. Outside of namespaces the
// whole process group gets the signal at once: a stub whose tracer dies first
// would run on natively with the host's own system calls.
func (p *Process) Kill() error {
	if !p.isolated {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.pidfd < 0 {
			return os.ErrProcessDone
		}
		return unix.Kill(-p.PID, unix.SIGKILL)
	}
	return p.Signal(unix.SIGKILL)
}

// Wait waits for the kernel's main process and ends all that it leaves behind:
// in a pid namespace the host does, else the caller must be a child subreaper
// (Subreap). Its other children are those whose pids spare passes on.
func (p *Process) Wait(spare Spare) (unix.WaitStatus, error) {
	var info unix.Siginfo
	// The pid stays taken (WNOWAIT) until nobody can signal it any more.
	for {
		err := unix.Waitid(unix.P_PID, p.PID, &info, unix.WEXITED|unix.WNOWAIT, nil)
		if err == nil {
			break
		}
		if err != unix.EINTR {
			return 0, fmt.Errorf("cannot wait for process %d: %w", p.PID, err)
		}
	}
	if !p.isolated {
		// While the leader is unreaped, its group cannot be another's.
		_ = unix.Kill(-p.PID, unix.SIGKILL)
	}
	p.closePIDFD()
	var status unix.WaitStatus
	for {
		_, err := unix.Wait4(p.PID, &status, 0, nil)
		if err == nil {
			break
		}
		if err != unix.EINTR {
			return 0, fmt.Errorf("cannot wait for process %d: %w", p.PID, err)
		}
	}
	if !p.isolated {
		return status, endChildren(spare)
	}
	return status, nil
}

func (p *Process) closePIDFD() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pidfd >= 0 {
		_ = unix.Close(p.pidfd)
		p.pidfd = -1
	}
}

// Close lets go of the pipes. A second stage that still waits then ends.
func (p *Process) Close() {
	p.control.Close()
	p.status.Close()
}
