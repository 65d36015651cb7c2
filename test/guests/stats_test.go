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

// What stock virsh says of the CPU time of a guest that works, in all its
// tellings, and of the host's.
func TestCPUStats(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		d.Boot(testkit.Guest{Name: "vm"})
		shell := d.Shell("vm")
		before := values(t, d.OK("domstats", "--cpu-total", "--vcpu", "vm"), "=")
		shell.Run("i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; for n in 1 2 3; do dd if=/dev/zero of=/tmp/fill bs=1M count=16; done")
		after := values(t, d.OK("domstats", "--cpu-total", "--vcpu", "vm"), "=")
		for _, key := range []string{"cpu.time", "cpu.user", "cpu.system", "vcpu.0.time"} {
			if after[key] <= before[key] {
				t.Errorf("%s went from %d to %d while the guest worked", key, before[key], after[key])
			}
		}
		if sum := after["cpu.user"] + after["cpu.system"]; after["cpu.time"] != sum || after["vcpu.0.time"] != sum {
			t.Errorf("the CPU times do not add up: %v", after)
		}
		d.OK("suspend", "vm") // from here on its time stands still
		total := d.OK("cpu-stats", "vm")
		for _, want := range []string{"No per-CPU stats available", "cpu_time", "user_time", "system_time"} {
			if !strings.Contains(total, want) {
				t.Errorf("%q is not in\n%s", want, total)
			}
		}
		info := d.OK("vcpuinfo", "vm")
		if !regexp.MustCompile(`(?s)^VCPU: +0\nCPU: +\d+\nState: +running\nCPU time: +\d+\.\ds\nCPU Affinity: +[y-]*y[y-]*$`).MatchString(info) {
			t.Errorf("vcpuinfo says\n%s", info)
		}
		if !strings.Contains(d.OK("dominfo", "vm"), "CPU time:") {
			t.Error("dominfo does not tell the CPU time")
		}
		if idle := d.OK("nodecpustats"); !strings.Contains(idle, "user:") {
			t.Errorf("nodecpustats says\n%s", idle)
		}
		if memory := d.OK("nodememstats"); !strings.Contains(memory, "total  :") {
			t.Errorf("nodememstats says\n%s", memory)
		}
		d.OK("destroy", "vm")
		d.Refused("domain is not running", "cpu-stats", "vm")
		if got := values(t, d.OK("domstats", "--cpu-total", "vm"), "="); len(got) != 0 {
			t.Errorf("the CPU time of a stopped domain: %v", got)
		}
	})
}

// What stock virsh says of the disks of a running guest, and what it does not
// say of those of one that hangs.
func TestBlockStats(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		second := d.File("second.img", strings.Repeat("x", 4<<20))
		d.Boot(testkit.Guest{Name: "vm", Devices: fmt.Sprintf(
			`<disk type='file'><driver type='raw'/><source file='%s'/><target dev='ubd3' bus='uml'/></disk>`, second)})
		shell := d.Shell("vm")
		blkstat := func(disk string) map[string]uint64 {
			text := d.OK(append([]string{"domblkstat", "vm"}, strings.Fields(disk)...)...)
			return values(t, regexp.MustCompile(`(?m)^`+disk+` `).ReplaceAllString(text, ""), " ")
		}
		before := blkstat("ubd3")
		shell.Run("dd if=/dev/ubdd of=/dev/null bs=1M count=2; dd if=/dev/zero of=/dev/ubdd bs=1M count=1; sync; echo 3 >/proc/sys/vm/drop_caches")
		after := blkstat("ubd3")
		if read := after["rd_bytes"] - before["rd_bytes"]; read < 2<<20 {
			t.Errorf("after a read of 2 MiB, rd_bytes has grown by %d: %v %v", read, before, after)
		}
		if written := after["wr_bytes"] - before["wr_bytes"]; written != 1<<20 {
			t.Errorf("after a write of 1 MiB, wr_bytes has grown by %d: %v %v", written, before, after)
		}
		if after["rd_req"] == 0 || after["wr_req"] == 0 {
			t.Errorf("no requests: %v", after)
		}
		if byPath := blkstat(second); byPath["wr_bytes"] != after["wr_bytes"] {
			t.Errorf("by its path, the disk has %v; by its target %v", byPath, after)
		}
		if all := blkstat(""); all["rd_bytes"] <= after["rd_bytes"] {
			t.Errorf("all disks together have read %d bytes, ubd3 %d", all["rd_bytes"], after["rd_bytes"])
		}
		stats := values(t, d.OK("domstats", "--block", "vm"), "=")
		for key, want := range map[string]uint64{
			"block.count": 2, "block.1.wr.bytes": after["wr_bytes"], "block.1.rd.reqs": after["rd_req"],
			"block.1.capacity": 4 << 20, "block.1.physical": 4 << 20,
		} {
			if stats[key] != want {
				t.Errorf("domstats: %s is %d, want %d", key, stats[key], want)
			}
		}
		if info := values(t, d.OK("domblkinfo", "vm", "ubd3"), ":"); info["Capacity"] != 4<<20 || info["Physical"] != 4<<20 || info["Allocation"] == 0 {
			t.Errorf("domblkinfo: %v", info)
		}
		if got := d.OK("domblkerror", "vm"); !strings.Contains(got, "No errors found") {
			t.Errorf("domblkerror: %s", got)
		}
		d.Refused("invalid path: ubd9", "domblkstat", "vm", "ubd9")

		kernel := d.KernelPID("vm")
		signal(t, kernel, syscall.SIGSTOP)
		d.Refused("does not answer", "domblkstat", "vm", "ubd3")
		d.Refused("did not answer a moment ago", "domblkstat", "vm", "ubd3")
		stats = values(t, d.OK("domstats", "--block", "vm"), "=")
		if _, known := stats["block.1.rd.reqs"]; known || stats["block.1.capacity"] != 4<<20 {
			t.Errorf("of a guest that hangs: %v", stats)
		}
		signal(t, kernel, syscall.SIGCONT)
		d.OK("destroy", "vm")
		d.Refused("domain is not running", "domblkstat", "vm", "ubd3")
		stats = values(t, d.OK("domstats", "--block", "vm"), "=")
		if _, known := stats["block.1.rd.reqs"]; known || stats["block.1.capacity"] != 4<<20 {
			t.Errorf("of a domain that does not run: %v", stats)
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
