package guests

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"virtumld/internal/testkit"
)

// Root of a guest, and whoever breaks into its kernel, finds nothing of the
// host but what the domain names.
func TestContainment(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		secret := d.File("secret", "host secret")
		if err := os.Chmod(secret, 0o644); err != nil {
			t.Fatal(err)
		}
		shared := folder(t, d, "shared")
		d.Boot(testkit.Guest{Name: "neighbour"})
		d.Boot(testkit.Guest{Name: "vm", Devices: share(shared, "data", "<readonly/>")})
		pids := d.GuestPIDs("vm")
		t.Run("inside", func(t *testing.T) { fromInside(t, d, d.Shell("vm"), secret) })
		t.Run("files", func(t *testing.T) { rootHolds(t, pids[0], secret) })
		t.Run("processes", func(t *testing.T) { seesOwnProcesses(t, d.GuestPIDs("vm")) })
		t.Run("network", func(t *testing.T) { seesNoNetwork(t, pids[0]) })
		t.Run("privileges", func(t *testing.T) {
			for _, pid := range d.GuestPIDs("vm") { // now that it is idle
				hasNoPrivileges(t, d, pid)
			}
		})
		t.Run("namespaces", func(t *testing.T) {
			for _, kind := range []string{"mnt", "pid", "net", "ipc", "uts"} {
				own, neighbour := namespace(t, pids[0], kind), namespace(t, d.KernelPID("neighbour"), kind)
				if own == namespace(t, os.Getpid(), kind) || own == neighbour {
					t.Errorf("the guest shares its %s namespace", kind)
				}
			}
		})
		if got := read(t, secret); got != "host secret" {
			t.Errorf("the secret is now %q", got)
		}
	})
}

// fromInside tries every way out that hostfs might offer.
func fromInside(t *testing.T, d *testkit.Daemon, vm *testkit.Shell, secret string) {
	vm.Run("mkdir -p /tmp/m; ln -s / /tmp/top")
	for _, path := range []string{
		"", "/", "/etc", "/../..", "/../../", "/../../../../../../..", "/../../proc/1/root", "/../../proc/self/root",
		"/../../proc/self/cwd/..", "/../../dev/..", "/../../uml/../..", d.Dir, "/../.." + d.Dir,
		"/share/data/..", "/share/data/../../../..", "/share/../../../..", "//", "/.",
	} {
		option := ""
		if path != "" {
			option = "-o " + path
		}
		// What cannot be mounted shows nothing either.
		out, _ := vm.Try(fmt.Sprintf(`mount -t hostfs none /tmp/m %s && for f in secret%s /etc/shadow /etc/hostname /root /home /var /sys/kernel /boot; do
[ -e /tmp/m/$f ] && echo "found $f"; done; umount /tmp/m 2>/dev/null; true`, option, " ."+secret))
		if strings.Contains(out, "found") {
			t.Errorf("mounting hostfs of %q: %s", path, out)
		}
	}
	if out, status := vm.Try("mount -t hostfs none /tmp/m && ls -A /tmp/m /tmp/m/share"); status != 0 || !strings.Contains(out, "data") {
		t.Errorf("hostfs without a path shows %q (%d), want the share", out, status)
	}
	// The way up is open, and leads to the guest's own root.
	if out := vm.Run("mount -t hostfs -o /../.. none /mnt && ls /mnt; umount /mnt"); !strings.Contains(out, "disk0") {
		t.Errorf("above the shares is %q, want the guest's own root", out)
	}
	vm.Fail("echo bad >/tmp/m/share/data/new")
	vm.Fail("echo bad >/tmp/m/new")
	vm.Fail("mount -t hostfs -o /../.. none /mnt && echo bad >/mnt/new")
	vm.Fail("cat " + secret)
}

// rootHolds walks through the files that the kernel's process can open.
func rootHolds(t *testing.T, pid int, secret string) {
	root := fmt.Sprintf("/proc/%d/root/.", pid)
	if _, err := os.Stat(root + secret); !os.IsNotExist(err) {
		t.Errorf("the secret is in the guest's root: %v", err)
	}
	known := regexp.MustCompile(`^/(disk0|dev/(null|zero|random|urandom)|uml/.*|.*\.so[.0-9]*)$`)
	kernel, found := testkit.Kernel(t), false
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		name := strings.TrimPrefix(path, strings.TrimSuffix(root, "/."))
		switch {
		case err != nil:
			return err
		case name == "/proc", name == "/hostfs/share/data":
			return fs.SkipDir
		case name == kernel:
			found = true
		case !e.IsDir() && !known.MatchString(name):
			t.Errorf("the guest's root holds %s", name)
		}
		return nil
	})
	if err != nil || !found {
		t.Fatalf("looking through the guest's root: %v; the kernel is there: %v", err, found)
	}
	for line := range strings.Lines(read(t, fmt.Sprintf("/proc/%d/mountinfo", pid))) {
		// proc_pid_mountinfo(5): id parent device root mountpoint options …
		fields := strings.Fields(line)
		point, options := fields[4], strings.Split(fields[5], ",")
		writable := slices.Contains(options, "rw")
		if want := point == "/dev/shm" || point == "/disk0" || point == "/uml" || slices.Contains(deviceNodes, point); writable && !want {
			t.Errorf("the guest can write to %s (%s)", point, fields[3])
		}
		if !slices.Contains(options, "nosuid") {
			t.Errorf("the mount of %s is %v, want nosuid", point, options)
		}
	}
}

var deviceNodes = []string{"/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"}

// seesOwnProcesses compares the guest's /proc with what runs there.
func seesOwnProcesses(t *testing.T, pids []int) {
	seen, err := filepath.Glob(fmt.Sprintf("/proc/%d/root/proc/[0-9]*", pids[0]))
	if err != nil {
		t.Fatal(err)
	}
	if len(seen) == 0 || len(seen) > 2*len(pids) {
		t.Errorf("the guest sees %d processes, and has %d", len(seen), len(pids))
	}
	for _, dir := range seen {
		cmdline, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err == nil && len(cmdline) > 0 && !strings.Contains(string(cmdline), "linux") {
			t.Errorf("the guest sees the process %q", cmdline)
		}
	}
}

// seesNoNetwork looks at the network of the kernel's process.
func seesNoNetwork(t *testing.T, pid int) {
	devices := regexp.MustCompile(`(?m)^\s*(\S+):`).FindAllStringSubmatch(read(t, fmt.Sprintf("/proc/%d/net/dev", pid)), -1)
	for _, device := range devices {
		if device[1] != "lo" {
			t.Errorf("the guest sees the network device %s", device[1])
		}
	}
	for line := range strings.Lines(read(t, fmt.Sprintf("/proc/%d/net/unix", pid))) {
		if strings.Contains(line, "@") {
			t.Errorf("the guest sees the abstract socket %s", line)
		}
	}
}

// hasNoPrivileges looks at what a process of the guest may do.
func hasNoPrivileges(t *testing.T, d *testkit.Daemon, pid int) {
	t.Helper()
	for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapAmb"} {
		if got := statusNumber(t, pid, set, 16); got != 0 {
			t.Errorf("process %d: %s is %x", pid, set, got)
		}
	}
	if got := statusNumber(t, pid, "CapBnd", 16); got != 0 {
		t.Errorf("process %d: CapBnd is %x", pid, got)
	}
	if got := statusNumber(t, pid, "NoNewPrivs", 10); got != 1 {
		t.Errorf("process %d: NoNewPrivs is %d", pid, got)
	}
	if guestUID(t, pid) == 0 {
		t.Errorf("process %d runs as root", pid)
	}
	if d.Identity() == testkit.Root {
		if groups := status(t, pid, "Groups"); groups != "" {
			t.Errorf("process %d is in the groups %s", pid, groups)
		}
	}
	limits := read(t, fmt.Sprintf("/proc/%d/limits", pid))
	if !regexp.MustCompile(`(?m)^Max core file size\s+0\s+0\s`).MatchString(limits) {
		t.Errorf("process %d may dump core:\n%s", pid, limits)
	}
}

// namespace is the identity of a process's namespace.
func namespace(t *testing.T, pid int, kind string) string {
	t.Helper()
	link, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, kind))
	if err != nil {
		t.Fatal(err)
	}
	return link
}
