package guests

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"virtumld/internal/testkit"
)

// What stock virsh says of running guests' memory, and that a guest which
// hangs keeps nobody from knowing of the others.
func TestMemoryStats(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		for _, name := range []string{"vm", "hung"} {
			d.Boot(testkit.Guest{Name: name})
		}
		shell := d.Shell("vm")
		fromGuest := []string{"swap_in", "swap_out", "major_fault", "minor_fault", "unused", "available", "usable", "last_update", "disk_caches"}
		before := values(t, d.OK("dommemstat", "vm"), " ")
		for _, name := range append([]string{"actual", "rss"}, fromGuest...) {
			if _, known := before[name]; !known {
				t.Errorf("dommemstat does not know %s: %v", name, before)
			}
		}
		if before["actual"] != 128<<10 || before["rss"] < 1<<10 {
			t.Errorf("actual %d, rss %d", before["actual"], before["rss"])
		}
		total := shell.Run("sed -n 's/MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo")
		if got := fmt.Sprint(before["available"]); got != total {
			t.Errorf("available %s KiB, want the guest's MemTotal, %s", got, total)
		}
		shell.Run("dd if=/dev/zero of=/tmp/fill bs=1M count=32")
		after := values(t, d.OK("dommemstat", "vm"), " ")
		if grown := int64(after["disk_caches"]) - int64(before["disk_caches"]); grown < 30<<10 {
			t.Errorf("after 32 MiB in a file, disk_caches has grown by %d KiB", grown)
		}
		if grown := int64(after["rss"]) - int64(before["rss"]); grown < 20<<10 {
			t.Errorf("after 32 MiB in a file, rss has grown by %d KiB", grown)
		}

		hung := d.KernelPID("hung")
		signal(t, hung, syscall.SIGSTOP)
		defer signal(t, hung, syscall.SIGCONT)
		for _, name := range []string{"vm", "hung"} {
			known := values(t, d.OK("dommemstat", name), " ")
			stats := values(t, d.OK("domstats", "--balloon", name), "=")
			if known["actual"] == 0 || known["rss"] == 0 || stats["balloon.current"] == 0 || stats["balloon.rss"] == 0 {
				t.Errorf("%s: the host's own numbers are missing: %v %v", name, known, stats)
			}
			for _, key := range fromGuest {
				_, first := known[key]
				_, second := stats["balloon."+strings.Replace(key, "last_u", "last-u", 1)]
				if want := name == "vm"; first != want || second != want {
					t.Errorf("%s: %s is known to dommemstat %v, to domstats %v, want %v", name, key, first, second, want)
				}
			}
		}
		d.OK("suspend", "vm")
		if known := values(t, d.OK("dommemstat", "vm"), " "); known["available"] == 0 {
			t.Errorf("a paused guest does not tell of its memory: %v", known)
		}
		d.OK("destroy", "vm")
		d.Refused("domain is not running", "dommemstat", "vm")
		d.OK("start", "vm", "--paused")
		if known := values(t, d.OK("dommemstat", "vm"), " "); known["actual"] == 0 || known["available"] != 0 {
			t.Errorf("before its boot, the guest's memory is %v", known)
		}
	})
}

// values reads lines of a name, a separator and a number; other lines and
// texts are passed over.
func values(t *testing.T, text, separator string) map[string]uint64 {
	t.Helper()
	found := make(map[string]uint64)
	line := regexp.MustCompile(`(?m)^\s*(\S+?)` + separator + `\s*(\d+)$`)
	for _, m := range line.FindAllStringSubmatch(text, -1) {
		n, err := strconv.ParseUint(m[2], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		found[m[1]] = n
	}
	return found
}

func signal(t *testing.T, pid int, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, s); err != nil {
		t.Error(err)
	}
}
