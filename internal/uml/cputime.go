package uml

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"virtumld/internal/domain"
)

// tick is one clock tick of /proc/PID/stat in ns: USER_HZ is 100 on every
// architecture that UML runs on.
const tick = 10_000_000

// usage is what a guest's kernel, pid, has used with its helpers and stubs,
// which are its children. The time of ended ones is in the kernel process's
// own account, since it waits for them.
func usage(pid int) domain.Usage {
	if pid == 0 {
		return domain.Usage{}
	}
	kernel := readStat(pid)
	user, system := kernel.user, kernel.system
	for _, child := range children(pid) {
		stat := readStat(child)
		user, system = user+stat.user, system+stat.system
	}
	return domain.Usage{
		User: user * tick, System: system * tick,
		RSS: kernel.rss * uint64(os.Getpagesize()) / 1024, CPU: int(kernel.processor),
	}
}

// affinity are the processors on which a guest's kernel, pid, may run; none
// when it is gone.
func affinity(pid int) []int {
	var set unix.CPUSet
	if pid == 0 || unix.SchedGetaffinity(pid, &set) != nil {
		return nil
	}
	var cpus []int
	for cpu, left := 0, set.Count(); left > 0; cpu++ {
		if set.IsSet(cpu) {
			cpus = append(cpus, cpu)
			left--
		}
	}
	return cpus
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

// stat is a part of /proc/PID/stat (proc_pid_stat(5)): CPU time in ticks,
// resident pages, and the processor it ran on last.
type stat struct{ user, system, rss, processor uint64 }

// readStat is zero for a process that is gone.
func readStat(pid int) stat {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return stat{}
	}
	return parseStat(text)
}

// parseStat counts fields from the end of the process's name, which may hold
// anything. The time of children that were waited for is counted in.
func parseStat(text []byte) stat {
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	const first = 3 // the number of fields[0]
	const utime, stime, cutime, cstime, rss, processor = 14 - first, 15 - first, 16 - first, 17 - first, 24 - first, 39 - first
	if len(fields) <= processor {
		return stat{}
	}
	number := func(field int) uint64 {
		n, err := strconv.ParseUint(string(fields[field]), 10, 64)
		if err != nil {
			return 0
		}
		return n
	}
	return stat{
		user: number(utime) + number(cutime), system: number(stime) + number(cstime),
		rss: number(rss), processor: number(processor),
	}
}
