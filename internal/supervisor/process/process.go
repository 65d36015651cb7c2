// Package process tells processes apart: a pid alone is no identity, since it
// is given out again, but a pid with its start time is. It also lets a process
// that mostly waits take less memory. It knows /proc, not guests.
package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// ID is a process for all time on one boot of the host.
type ID struct {
	PID int
	// Start is when it started, in clock ticks since the host's boot (field
	// 22 of /proc/PID/stat, proc(5)).
	Start uint64
}

// Of returns the identity of the process that has pid now.
func Of(pid int) (ID, error) {
	s, err := readStat(pid)
	if err != nil {
		return ID{}, err
	}
	return ID{PID: pid, Start: s.start}, nil
}

// Open returns a pidfd for id, or an error that is unix.ESRCH when that
// process is gone.
func (id ID) Open() (int, error) {
	if id.PID <= 0 {
		return -1, unix.ESRCH
	}
	fd, err := unix.PidfdOpen(id.PID, 0)
	if err != nil {
		return -1, fmt.Errorf("cannot open process %d: %w", id.PID, err)
	}
	// The descriptor holds whoever has the pid now; only then is the start
	// time a proof.
	now, err := Of(id.PID)
	if err != nil || now != id {
		unix.Close(fd)
		return -1, fmt.Errorf("process %d is another one now: %w", id.PID, unix.ESRCH)
	}
	return fd, nil
}

// Kill sends SIGKILL to id and waits at most timeout until it has ended. A
// process that is gone already is no error.
func (id ID) Kill(timeout time.Duration) error {
	fd, err := id.Open()
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && err != unix.ESRCH {
		return fmt.Errorf("cannot kill process %d: %w", id.PID, err)
	}
	return waitEnd(fd, id.PID, timeout)
}

// waitEnd waits until the process of a pidfd has ended (it may be a zombie).
func waitEnd(fd, pid int, timeout time.Duration) error {
	deadline := time.Now().Add(timeout)
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		left := max(time.Until(deadline), 0)
		n, err := unix.Poll(poll, int(left.Milliseconds()))
		switch {
		case err == unix.EINTR:
		case err != nil:
			return fmt.Errorf("cannot wait for process %d: %w", pid, err)
		case n > 0:
			return nil
		default:
			return fmt.Errorf("process %d does not end: %w", pid, unix.ETIMEDOUT)
		}
	}
}

// Children returns the children of a process.
func Children(parent int) ([]int, error) {
	return find(func(_ int, s stat) bool { return s.parent == parent })
}

// In returns the processes whose working folder is dir. Those that may not be
// looked at are not among them.
func In(dir string) ([]int, error) {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, err
	}
	return find(func(pid int, _ stat) bool {
		cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid))
		return err == nil && cwd == real
	})
}

func find(match func(int, stat) bool) ([]int, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if s, err := readStat(pid); err == nil && match(pid, s) {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

type stat struct {
	parent int
	start  uint64
}

func readStat(pid int) (stat, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, err
	}
	return parseStat(text)
}

// parseStat reads /proc/PID/stat. The name (field 2) may hold anything, blanks
// and brackets too, so fields are counted from its last bracket.
func parseStat(text []byte) (stat, error) {
	end := bytes.LastIndexByte(text, ')')
	if end < 0 {
		return stat{}, errors.New("/proc/PID/stat has no process name")
	}
	fields := bytes.Fields(text[end+1:]) // fields[0] is field 3
	if len(fields) < 20 {
		return stat{}, errors.New("/proc/PID/stat is too short")
	}
	parent, err := strconv.Atoi(string(fields[1]))
	if err != nil {
		return stat{}, err
	}
	start, err := strconv.ParseUint(string(fields[19]), 10, 64)
	return stat{parent: parent, start: start}, err
}
