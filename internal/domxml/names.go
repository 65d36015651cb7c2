package domxml

import (
	"strconv"
	"strings"
)

// The kernel's numbers of devices (arch/um/drivers: ubd_kern.c MAX_DEV,
// stdio_console.c MAX_TTYS, ssl.c NR_PORTS).
const (
	MaxDisks    = 16
	MaxConsoles = 16
	MaxSerials  = 64
)

// lineName is the kernel's name of a console or serial line
// (arch/um/drivers/stdio_console.c, ssl.c).
func lineName(serial bool, port int) string {
	if serial {
		return "ssl" + strconv.Itoa(port)
	}
	return "con" + strconv.Itoa(port)
}

// diskBuses are the buses that libvirt infers from a target's prefix
// (src/conf/domain_postparse.c, virDomainDiskDefPostParse).
var diskBuses = []struct{ prefix, bus string }{
	{"ubd", "uml"}, {"hd", "ide"}, {"sd", "scsi"}, {"vd", "virtio"}, {"xvd", "xen"},
}

// diskUnit returns the ubd unit that a disk's target stands for and the bus
// that its name implies: "ubd3", "ubdd", "hdd", "sdd", "vdd" and "xvdd" are
// all unit 3. ok is false for any other name.
func diskUnit(target string) (unit int, bus string, ok bool) {
	for _, b := range diskBuses {
		rest, found := strings.CutPrefix(target, b.prefix)
		if !found {
			continue
		}
		if b.prefix == "ubd" && len(rest) > 0 && len(rest) <= 2 && rest[0] >= '0' && rest[0] <= '9' {
			n, err := strconv.Atoi(rest)
			return n, b.bus, err == nil && n < MaxDisks && (n == 0) == (rest[0] == '0') && (n != 0 || len(rest) == 1)
		}
		if len(rest) == 1 && rest[0] >= 'a' && rest[0] < 'a'+MaxDisks {
			return int(rest[0] - 'a'), b.bus, true
		}
		return 0, b.bus, false
	}
	return 0, "", false
}
