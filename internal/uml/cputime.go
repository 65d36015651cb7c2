package uml

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
)

// tick is one clock tick of /proc/PID/stat in ns: USER_HZ is 100 on every
// architecture that UML runs on.
const tick = 10_000_000

// cpuTime is the CPU time in ns of a guest's kernel and of its helpers and
// stubs, which are its children. The time of ended ones is in the kernel
// process's own account, since it waits for them.
func cpuTime(pid int) uint64 {
	if pid == 0 {
		return 0
	}
	total := statTicks(pid)
	for _, child := range children(pid) {
		total += statTicks(child)
	}
	return total * tick
}

// children are the processes that any thread of pid has made.
func children(pid int) []int {
	files, err := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/children")
	if err != nil {
		return nil
	}
	var pids []int
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // the thread has ended
		}
		for _, field := range bytes.Fields(text) {
			if child, err := strconv.Atoi(string(field)); err == nil {
				pids = append(pids, child)
			}
		}
	}
	return pids
}

// statTicks adds up utime, stime, cutime and cstime, fields 14 to 17 of
// /proc/PID/stat (proc(5)); 0 for a process that is gone.
func statTicks(pid int) uint64 {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	return parseTicks(text)
}

// parseTicks counts fields from the end of the process's name, which may hold
// anything.
func parseTicks(stat []byte) uint64 {
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	const utime, cstime = 14 - 3, 17 - 3 // fields[0] is field 3
	if len(fields) <= cstime {
		return 0
	}
	var total uint64
	for _, field := range fields[utime : cstime+1] {
		n, err := strconv.ParseUint(string(field), 10, 64)
		if err != nil {
			return 0
		}
		total += n
	}
	return total
}
