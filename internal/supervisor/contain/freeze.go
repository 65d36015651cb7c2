package contain

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"virtumld/internal/supervisor/process"
)

// Freeze stops the kernel and all its processes where they are, Thaw lets them
// go on. That works for kernels in seccomp mode alone: with ptrace, a SIGSTOP
// to a stub is the guest's business and breaks the kernel.
//
// The lock is held meanwhile so that none of the pids can be another's: the
// kernel is not reaped, and what it has made is reaped by it alone.
func (p *Process) Freeze() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pidfd < 0 {
		return os.ErrProcessDone
	}
	if err := unix.PidfdSendSignal(p.pidfd, unix.SIGSTOP, nil, 0); err != nil {
		return fmt.Errorf("cannot stop process %d: %w", p.PID, err)
	}
	// Once all its threads have stopped, it makes no more processes.
	for {
		var info unix.Siginfo
		err := unix.Waitid(unix.P_PID, p.PID, &info, unix.WSTOPPED|unix.WEXITED|unix.WNOWAIT, nil)
		if err == nil {
			return p.signalChildren(unix.SIGSTOP)
		}
		if err != unix.EINTR {
			return fmt.Errorf("cannot wait for process %d to stop: %w", p.PID, err)
		}
	}
}

// Thaw is Freeze's opposite.
func (p *Process) Thaw() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pidfd < 0 {
		return os.ErrProcessDone
	}
	if err := p.signalChildren(unix.SIGCONT); err != nil {
		return err
	}
	if err := unix.PidfdSendSignal(p.pidfd, unix.SIGCONT, nil, 0); err != nil {
		return fmt.Errorf("cannot let process %d go on: %w", p.PID, err)
	}
	return nil
}

func (p *Process) signalChildren(sig unix.Signal) error {
	pids, err := process.Children(p.PID)
	if err != nil {
		return fmt.Errorf("cannot find the children of process %d: %w", p.PID, err)
	}
	for _, pid := range pids {
		_ = unix.Kill(pid, sig) // one that has ended needs none
	}
	return nil
}
