package domxml

import (
	"math/bits"
	"strings"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/virerr"
)

const (
	// pageKiB is the guest's page size: the kernel rounds mem= to it.
	pageKiB = 4
	// minMemoryKiB is what a kernel cannot boot with: it needs more
	// (arch/um/kernel/um_arch.c, "Too few physical memory").
	minMemoryKiB = 16 << 10
)

// scale returns value units, the content of element, in bytes. An empty unit stands for KiB. The units
// are libvirt's (src/util/virutil.c, virScaleInteger): b or bytes; k, M, G, T,
// P, E alone or with iB in powers of 1024, with B in powers of 1000; letter
// case does not matter.
func scale(element string, value uint64, unit string) (uint64, error) {
	factor, err := unitFactor(element, unit)
	if err != nil {
		return 0, err
	}
	high, low := bits.Mul64(value, factor)
	if high != 0 {
		return 0, virerr.In(virerr.None, libvirt.ErrOverflow, "value too large: %d%s in element <%s>", value, unit, element)
	}
	return low, nil
}

func unitFactor(element, unit string) (uint64, error) {
	name := strings.ToLower(unit)
	switch name {
	case "":
		return 1 << 10, nil
	case "b", "byte", "bytes":
		return 1, nil
	}
	base := uint64(0)
	switch name[1:] {
	case "", "ib":
		base = 1024
	case "b":
		base = 1000
	}
	power := strings.IndexByte("kmgtpe", name[0]) + 1
	if base == 0 || power == 0 {
		return 0, virerr.In(virerr.None, libvirt.ErrInvalidArg, "unknown suffix '%s' in element <%s>", unit, element)
	}
	factor := uint64(1)
	for range power {
		factor *= base
	}
	return factor, nil
}

// toKiB returns value units, the content of element, in KiB, rounded up to a
// whole page.
func toKiB(element string, value uint64, unit string) (uint64, error) {
	bytes, err := scale(element, value, unit)
	if err != nil {
		return 0, err
	}
	const page = pageKiB << 10
	pages := bytes / page
	if bytes%page != 0 {
		pages++
	}
	return pages * pageKiB, nil
}
