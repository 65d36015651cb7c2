package testkit

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// process is a line of /proc.
type process struct {
	pid, parent int
	state       string
	cmdline     string
}

// descendants are the live processes below pid.
func descendants(pid int) []process {
	children := map[int][]process{}
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		if p, ok := readProcess(dir); ok && p.state != "Z" {
			children[p.parent] = append(children[p.parent], p)
		}
	}
	var found []process
	for queue := []int{pid}; len(queue) > 0; queue = queue[1:] {
		for _, p := range children[queue[0]] {
			found = append(found, p)
			queue = append(queue, p.pid)
		}
	}
	return found
}

// readProcess reads /proc/PID; a process that has just ended gives false.
func readProcess(dir string) (process, bool) {
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return process{}, false
	}
	// proc(5): pid (comm) state ppid …; comm may hold spaces and brackets.
	text := string(stat)
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(fields) < 2 {
		return process{}, false
	}
	p := process{state: fields[0]}
	p.pid, _ = strconv.Atoi(filepath.Base(dir))
	p.parent, _ = strconv.Atoi(fields[1])
	cmdline, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
	p.cmdline = strings.ReplaceAll(strings.TrimRight(string(cmdline), "\x00"), "\x00", " ")
	return p, true
}

// killLeftovers kills what is still running below this process and describes
// it. What ends by itself within a moment is no leftover.
func killLeftovers() string {
	var described strings.Builder
	for _, p := range descendants(os.Getpid()) {
		fd, err := unix.PidfdOpen(p.pid, 0)
		if err != nil {
			continue // it has ended
		}
		if !endsWithin(fd, 2*time.Second) {
			fmt.Fprintf(&described, "%7d %s\n", p.pid, p.cmdline)
			unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
		}
		unix.Close(fd)
	}
	return described.String()
}

// endsWithin waits for the process of a pidfd to end.
func endsWithin(pidfd int, d time.Duration) bool {
	deadline := time.Now().Add(d)
	for {
		wait := time.Until(deadline)
		if wait <= 0 {
			return false
		}
		fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, int(wait.Milliseconds())+1)
		if err == unix.EINTR {
			continue
		}
		return n > 0
	}
}

// AwaitEnd waits for the process pid to end; one that has ended is fine.
func AwaitEnd(t testing.TB, pid int) {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err == unix.ESRCH {
		return
	}
	if err != nil {
		t.Fatalf("cannot watch process %d: %v", pid, err)
	}
	defer unix.Close(fd)
	if !endsWithin(fd, Patience) {
		t.Fatalf("process %d has not ended in %v", pid, Patience)
	}
}
