package testkit

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// StatusFile is the status that the daemon keeps of a running guest.
func (d *Daemon) StatusFile(name string) string {
	if d.identity == Root {
		return filepath.Join(d.Dir, "run/libvirt/uml", name+".xml")
	}
	return filepath.Join(d.Dir, "run/libvirt/uml/run", name+".xml")
}

// GuestLog is the path of a guest's log.
func (d *Daemon) GuestLog(name string) string {
	if d.identity == Root {
		return filepath.Join(d.Dir, "var/log/libvirt/uml", name+".log")
	}
	return filepath.Join(d.Dir, "cache/libvirt/uml/log", name+".log")
}

// UMLDir is the instance's uml_dir.
func (d *Daemon) UMLDir() string {
	if d.identity == Root {
		return filepath.Join(d.Dir, "run/libvirt/uml-guest")
	}
	return filepath.Join(d.Dir, ".uml")
}

var statusPID = regexp.MustCompile(`pid='(\d+)'`)

// KernelPID is the main process of a running guest's kernel.
func (d *Daemon) KernelPID(name string) int {
	d.t.Helper()
	data, err := os.ReadFile(d.StatusFile(name))
	if err != nil {
		d.t.Fatal(err)
	}
	found := statusPID.FindSubmatch(data)
	if found == nil {
		d.t.Fatalf("no pid in\n%s", data)
	}
	pid, err := strconv.Atoi(string(found[1]))
	if err != nil {
		d.t.Fatal(err)
	}
	return pid
}

// SupervisorPID is the process that runs a guest: its kernel's parent.
func (d *Daemon) SupervisorPID(name string) int {
	d.t.Helper()
	kernel := d.KernelPID(name)
	p, ok := readProcess(fmt.Sprint("/proc/", kernel))
	if !ok {
		d.t.Fatalf("the kernel of %q, process %d, is gone", name, kernel)
	}
	if !strings.Contains(readCmdline(p.parent), "supervise") {
		d.t.Fatalf("the parent of %q's kernel is %q", name, readCmdline(p.parent))
	}
	return p.parent
}

func readCmdline(pid int) string {
	p, _ := readProcess(fmt.Sprint("/proc/", pid))
	return p.cmdline
}

// GuestPIDs are all processes of a running guest, its kernel's first.
func (d *Daemon) GuestPIDs(name string) []int {
	d.t.Helper()
	kernel := d.KernelPID(name)
	pids := []int{kernel}
	networks := d.NetworkPIDs(name)
	for _, p := range descendants(d.SupervisorPID(name)) {
		if p.pid != kernel && !slices.Contains(networks, p.pid) {
			pids = append(pids, p.pid)
		}
	}
	return pids
}

// NetworkPIDs are the processes of the networks that belong to interfaces of a
// running guest alone.
func (d *Daemon) NetworkPIDs(name string) []int {
	d.t.Helper()
	var pids []int
	for _, p := range descendants(d.SupervisorPID(name)) {
		if strings.HasPrefix(p.cmdline, "virtumld network ") {
			pids = append(pids, p.pid)
		}
	}
	return pids
}

// CPUTime is the processor time that a process has used.
func (d *Daemon) CPUTime(pid int) time.Duration {
	d.t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		d.t.Fatal(err)
	}
	// proc(5): utime and stime are the 12th and 13th after the name, in
	// ticks of which Linux shows 100 a second on every machine.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	total := time.Duration(0)
	for _, field := range fields[11:13] {
		ticks, err := strconv.Atoi(field)
		if err != nil {
			d.t.Fatal(err)
		}
		total += time.Duration(ticks) * 10 * time.Millisecond
	}
	return total
}

// Owned gives a file, made by the test, to the daemon's user and returns it.
func (d *Daemon) Owned(path string) string {
	d.t.Helper()
	d.own(path)
	return path
}

// Identity is as whom the daemon runs.
func (d *Daemon) Identity() Identity { return d.identity }
