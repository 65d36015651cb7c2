package guestproc

import (
	"math"
	"strings"
)

// pageKiB is a page of /proc/vmstat's counters: UML's pages are x86's.
const pageKiB = 4

// Memory is a guest's memory in KiB.
type Memory struct {
	// Total is what the kernel can use, Free what nothing uses, Available
	// what programs could still have.
	Total, Free, Available uint64
	// Caches are the pages of files: they can be had back.
	Caches uint64
}

// ParseMeminfo reads /proc/meminfo (proc_meminfo(5)).
func ParseMeminfo(text string) (Memory, error) {
	values := table(text)
	m := Memory{Total: values["MemTotal:"], Free: values["MemFree:"], Available: values["MemAvailable:"]}
	for _, name := range []string{"Buffers:", "Cached:", "SwapCached:"} {
		m.Caches = add(m.Caches, values[name])
	}
	if m.Total == 0 {
		return Memory{}, errFormat("meminfo")
	}
	return m, nil
}

// Paging counts a guest's page faults and swapping since its boot.
type Paging struct {
	// SwapIn and SwapOut are in KiB.
	SwapIn, SwapOut uint64
	// Major faults needed a disk, Minor are those and all others, as
	// virtio-balloon counts them.
	Major, Minor uint64
}

// ParseVmstat reads /proc/vmstat.
func ParseVmstat(text string) (Paging, error) {
	values := table(text)
	faults, found := values["pgfault"]
	if !found {
		return Paging{}, errFormat("vmstat")
	}
	return Paging{
		SwapIn:  times(values["pswpin"], pageKiB),
		SwapOut: times(values["pswpout"], pageKiB),
		Major:   values["pgmajfault"],
		Minor:   faults,
	}, nil
}

// table reads lines of a name and a number.
func table(text string) map[string]uint64 {
	values := make(map[string]uint64)
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		if n, ok := numbers(fields[1:2]); ok {
			values[fields[0]] = n[0]
		}
	}
	return values
}

// add and times stop at the largest number.
func add(a, b uint64) uint64 {
	if a > math.MaxUint64-b {
		return math.MaxUint64
	}
	return a + b
}

func times(n, factor uint64) uint64 {
	if n > math.MaxUint64/factor {
		return math.MaxUint64
	}
	return n * factor
}
