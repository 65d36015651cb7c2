package guestproc

import "strings"

// sector is the unit of /proc/diskstats in bytes, whatever a disk's own is.
const sector = 512

// millisecond is in ns.
const millisecond = 1_000_000

// IO counts the requests of one kind that a disk has served.
type IO struct {
	// Time is what they took together, in ns.
	Requests, Bytes, Time uint64
}

// Disk are the counters of a disk since it was plugged in.
type Disk struct{ Read, Write, Flush IO }

// ParseDiskstats reads /proc/diskstats (Documentation/admin-guide/iostats.rst):
// the disks and partitions by their names ("ubda", "ubda1").
func ParseDiskstats(text string) (map[string]Disk, error) {
	disks := make(map[string]Disk)
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		// The flushes came with Linux 5.5.
		const name, counters, least, flushes = 2, 3, 14, 18
		if len(fields) < least {
			return nil, errFormat("diskstats")
		}
		n, ok := numbers(fields[counters:])
		if !ok {
			return nil, errFormat("diskstats")
		}
		disk := Disk{
			Read:  IO{Requests: n[0], Bytes: times(n[2], sector), Time: times(n[3], millisecond)},
			Write: IO{Requests: n[4], Bytes: times(n[6], sector), Time: times(n[7], millisecond)},
		}
		if at := flushes - counters; len(n) > at+1 {
			disk.Flush = IO{Requests: n[at], Time: times(n[at+1], millisecond)}
		}
		disks[printable(fields[name])] = disk
	}
	return disks, nil
}

// Add is the sum of two disks' counters.
func (d Disk) Add(other Disk) Disk {
	return Disk{Read: d.Read.add(other.Read), Write: d.Write.add(other.Write), Flush: d.Flush.add(other.Flush)}
}

func (i IO) add(other IO) IO {
	return IO{
		Requests: add(i.Requests, other.Requests), Bytes: add(i.Bytes, other.Bytes), Time: add(i.Time, other.Time),
	}
}
