package hostinfo

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// AllCPUs stands for all processors together where a processor's number is
// asked for (VIR_NODE_CPU_STATS_ALL_CPUS).
const AllCPUs = -1

// CPUTimes is what a processor has spent since boot, in nanoseconds.
type CPUTimes struct {
	Kernel, User, Idle, IOWait uint64
}

// tick is the unit of /proc/stat in nanoseconds: USER_HZ is 100 on every
// architecture that Go runs on.
const tick = 1_000_000_000 / 100

// CPUTimes reads the times of one processor or of AllCPUs. The error for a
// processor that is not online has ErrNotFound in its chain.
func (h *Host) CPUTimes(cpu int) (CPUTimes, error) {
	text, err := h.read("proc/stat")
	if err != nil {
		return CPUTimes{}, err
	}
	label := "cpu"
	if cpu != AllCPUs {
		label += strconv.Itoa(cpu)
	}
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != label {
			continue
		}
		times, err := parseTimes(fields[1:])
		if err != nil {
			return CPUTimes{}, fmt.Errorf("/proc/stat: %s: %w", label, err)
		}
		return times, nil
	}
	return CPUTimes{}, fmt.Errorf("processor %d in /proc/stat: %w", cpu, ErrNotFound)
}

// parseTimes sums the columns of /proc/stat as libvirt does: user nice system
// idle iowait irq softirq (Documentation/filesystems/proc.rst). The later
// columns are parts of these, or another machine's.
func parseTimes(columns []string) (CPUTimes, error) {
	if len(columns) < 4 {
		return CPUTimes{}, errors.New("fewer than four columns")
	}
	var n [7]uint64
	for i, column := range columns[:min(len(columns), len(n))] {
		v, err := strconv.ParseUint(column, 10, 64)
		if err != nil {
			return CPUTimes{}, fmt.Errorf("column %d is %q, not a number", i+1, column)
		}
		n[i] = v
	}
	return CPUTimes{
		User:   (n[0] + n[1]) * tick,
		Kernel: (n[2] + n[5] + n[6]) * tick,
		Idle:   n[3] * tick,
		IOWait: n[4] * tick,
	}, nil
}

// CPUModel says what the processors are.
type CPUModel struct {
	// Vendor is the maker's name as libvirt spells it ("Intel", "AMD"),
	// else the kernel's own word; empty where the kernel does not tell.
	Vendor string
	// Name is the marketing name, such as "AMD EPYC 7763".
	Name string
	// Flags are the kernel's names of the features.
	Flags []string
}

// vendors maps /proc/cpuinfo's vendor_id to libvirt's names
// (src/cpu_map/x86_vendors.xml).
var vendors = map[string]string{
	"GenuineIntel": "Intel",
	"AuthenticAMD": "AMD",
	"HygonGenuine": "Hygon",
}

// CPUModel reads the first processor's description.
func (h *Host) CPUModel() (CPUModel, error) {
	text, err := h.read("proc/cpuinfo")
	if err != nil {
		return CPUModel{}, err
	}
	var m CPUModel
	first, _, _ := strings.Cut(text, "\n\n")
	for line := range strings.Lines(first) {
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch strings.TrimSpace(key) {
		case "vendor_id":
			m.Vendor = value
			if name, ok := vendors[value]; ok {
				m.Vendor = name
			}
		case "model name":
			m.Name = value
		case "flags", "Features":
			m.Flags = strings.Fields(value)
		}
	}
	return m, nil
}

// mhz reads the processors' speed, 0 where /proc/cpuinfo does not tell.
// The key is the architecture's own; libvirt takes the last processor's, and
// drops the fraction.
func (h *Host) mhz() int {
	keys := map[string]string{
		"x86_64": "cpu MHz", "i686": "cpu MHz",
		"ppc64": "clock", "ppc64le": "clock",
		"s390x": "cpu MHz dynamic",
	}
	wanted, ok := keys[h.arch]
	if !ok {
		return 0
	}
	text, err := h.read("proc/cpuinfo")
	if err != nil {
		return 0
	}
	mhz := 0
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(line, ":")
		if strings.TrimSpace(key) != wanted {
			continue
		}
		whole, _, _ := strings.Cut(strings.TrimSpace(value), ".")
		if n, err := strconv.ParseUint(strings.TrimSuffix(whole, "MHz"), 10, 31); err == nil {
			mhz = int(n)
		}
	}
	return mhz
}
