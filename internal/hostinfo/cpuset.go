package hostinfo

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// maxCPU bounds processor numbers; the largest kernels are built for 8192.
const maxCPU = 1 << 16

// CPUSet is a set of processor numbers in ascending order.
type CPUSet []int

// ParseCPUSet parses the kernel's list format, such as "0-3,8" (bitmap
// "list" form, Documentation/admin-guide/cputopology.rst). An empty list is
// an empty set.
func ParseCPUSet(text string) (CPUSet, error) {
	var set CPUSet
	for item := range strings.SplitSeq(strings.TrimSpace(text), ",") {
		if item == "" {
			continue
		}
		first, last, isRange := strings.Cut(item, "-")
		from, err := parseCPU(first)
		if err != nil {
			return nil, fmt.Errorf("processor list %q: %w", text, err)
		}
		to := from
		if isRange {
			if to, err = parseCPU(last); err != nil {
				return nil, fmt.Errorf("processor list %q: %w", text, err)
			}
		}
		if to < from {
			return nil, fmt.Errorf("processor list %q: range %q runs backwards", text, item)
		}
		for n := from; n <= to; n++ {
			set = append(set, n)
		}
	}
	slices.Sort(set)
	return slices.Compact(set), nil
}

func parseCPU(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n >= maxCPU {
		return 0, fmt.Errorf("%q is not a processor number", text)
	}
	return int(n), nil
}

// Has reports whether cpu is in the set.
func (s CPUSet) Has(cpu int) bool {
	_, found := slices.BinarySearch(s, cpu)
	return found
}

// Bound is the highest number in the set plus one, 0 for an empty set.
func (s CPUSet) Bound() int {
	if len(s) == 0 {
		return 0
	}
	return s[len(s)-1] + 1
}

// Bitmap returns the set as bits, lowest processor in the lowest bit of the
// first byte, in as many bytes as count processors need (libvirt's cpumap).
func (s CPUSet) Bitmap(count int) []byte {
	bits := make([]byte, (count+7)/8)
	for _, cpu := range s {
		if cpu < count {
			bits[cpu/8] |= 1 << (cpu % 8)
		}
	}
	return bits
}

// String formats the set in the kernel's list format.
func (s CPUSet) String() string {
	var out strings.Builder
	for i := 0; i < len(s); {
		last := i
		for last+1 < len(s) && s[last+1] == s[last]+1 {
			last++
		}
		if out.Len() > 0 {
			out.WriteByte(',')
		}
		out.WriteString(strconv.Itoa(s[i]))
		if last > i {
			out.WriteString("-" + strconv.Itoa(s[last]))
		}
		i = last + 1
	}
	return out.String()
}
