package bench

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"

	"virtumld/internal/testkit"
)

// BenchmarkStart compares the time from "virsh start" to the first line on the
// guest's console with the same kernel, command line and disk run by hand.
func BenchmarkStart(b *testing.B) {
	d := start(b)
	disk := d.Rootfs("vm.img")
	console := d.File("console.log", "")
	d.Define(guestDocument(b, "vm", disk, console))
	startGuest(b, d, console) // unmeasured: caches fill, the kernel is probed
	hand := newByHand(b, d.Dir, disk)

	var ours, theirs, virsh samples
	for round := 0; b.Loop(); round++ {
		inTurns(round,
			func() { ours = append(ours, startGuest(b, d, console)) },
			func() { theirs = append(theirs, hand.run(b)) })
		virsh.take(func() { d.OK("uri") })
	}
	x, y := ours.median(1), theirs.median(1)
	b.ReportMetric(0, "ns/op") // has what comes between two starts, too
	b.ReportMetric(millis(x), "ms-virtumld")
	b.ReportMetric(millis(y), "ms-by-hand")
	b.ReportMetric(millis(virsh.median(1)), "ms-virsh-alone")
	b.ReportMetric(float64(x)/float64(y), "ratio")
	b.ReportMetric(millis(x)-1.05*millis(y), "ms-above-1.05x")
	x, y = ours.fastest(1), theirs.fastest(1)
	b.ReportMetric(float64(x)/float64(y), "ratio-fastest")
	b.ReportMetric(millis(x)-1.05*millis(y), "ms-above-1.05x-fastest")
}

// guestDocument is a guest whose console's output goes to a file, too.
func guestDocument(b *testing.B, name, disk, console string) string {
	b.Helper()
	return fmt.Sprintf(`<domain type='uml'>
  <name>%s</name>
  <memory unit='MiB'>64</memory>
  <os><type>uml</type><kernel>%s</kernel></os>
  <devices>
    <disk type='file' device='disk'><source file='%s'/><target dev='ubd0' bus='uml'/></disk>
    <console type='pty'><target port='0'/><log file='%s'/></console>
  </devices>
</domain>`, name, testkit.Kernel(b), disk, console)
}

// startGuest starts the guest, returns how long its first line of output took,
// and destroys it.
func startGuest(b *testing.B, d *testkit.Daemon, console string) time.Duration {
	b.Helper()
	must(b, os.Truncate(console, 0))
	watcher, err := fsnotify.NewWatcher()
	must(b, err)
	defer watcher.Close()
	must(b, watcher.Add(console))

	started := make(chan testkit.Result, 1)
	begin := time.Now()
	go func() { started <- d.Virsh("start", "vm") }()
	if err := awaitLine(watcher, console); err != nil {
		b.Fatalf("%v\n%+v", err, <-started)
	}
	took := time.Since(begin)
	if result := <-started; result.Code != 0 {
		b.Fatalf("virsh start: %s", result.Stderr)
	}
	d.OK("destroy", "vm")
	return took
}

// awaitLine waits until a file that is being written to has a whole line.
func awaitLine(watcher *fsnotify.Watcher, path string) error {
	deadline := time.After(testkit.Patience)
	for {
		select {
		case <-watcher.Events:
			text, err := os.ReadFile(path)
			if err != nil || bytes.ContainsRune(text, '\n') {
				return err
			}
		case err := <-watcher.Errors:
			return err
		case <-deadline:
			return fmt.Errorf("%s has no line after %v", path, testkit.Patience)
		}
	}
}

// byHand is a kernel that is run without virtumld.
type byHand struct {
	args   []string
	notify *net.UnixConn // where the kernel tells that it is ready
}

// newByHand takes the command line of the guest's last start from its log.
// What names the inside of the guest's own root there is replaced by its like
// outside.
func newByHand(b *testing.B, dir, disk string) *byHand {
	b.Helper()
	own := filepath.Join(dir, "hand")
	hostfs := filepath.Join(own, "hostfs")
	must(b, os.MkdirAll(hostfs, 0o700))
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(own, "notify"), Net: "unixgram"})
	must(b, err)
	b.Cleanup(func() { notify.Close() })

	inside := strings.NewReplacer("=/uml/", "="+own+"/", "notify:/uml/", "notify:"+own+"/", "/disk0", disk, "=/hostfs", "="+hostfs)
	h := &byHand{notify: notify}
	for _, arg := range loggedArgs(b, dir) {
		h.args = append(h.args, inside.Replace(arg))
	}
	return h
}

// loggedArgs are the kernel's arguments in the guest's log: one a line, each
// but the last followed by a backslash.
func loggedArgs(b *testing.B, dir string) []string {
	b.Helper()
	out, err := exec.Command("find", dir, "-name", "vm.log").Output()
	must(b, err)
	text, err := os.ReadFile(strings.TrimSpace(string(out)))
	must(b, err)
	_, header, found := strings.Cut(string(text), " \\\n"+testkit.Kernel(b)+" \\\n")
	if !found {
		b.Fatalf("the guest's log does not show its command line:\n%s", text)
	}
	var args []string
	for line := range strings.Lines(header) {
		line = strings.TrimSuffix(line, "\n")
		arg, more := strings.CutSuffix(line, " \\")
		args = append(args, arg)
		if !more {
			break
		}
	}
	return args
}

// run runs the kernel with its console on a pty, returns how long its first
// line of output took, and kills it.
func (h *byHand) run(b *testing.B) time.Duration {
	b.Helper()
	master, slave := openPTY(b)
	defer master.Close()
	// virtumld turns address randomisation off, which spares the kernel work.
	cmd := exec.Command("setarch", append([]string{"-R", testkit.Kernel(b)}, h.args...)...)
	cmd.Env = []string{"HOME=/", "TMPDIR=/dev/shm"}
	cmd.ExtraFiles = []*os.File{slave} // con0=fd:3
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	begin := time.Now()
	must(b, cmd.Start())
	slave.Close()
	must(b, master.SetReadDeadline(time.Now().Add(testkit.Patience)))
	var text []byte
	for !bytes.ContainsRune(text, '\n') {
		buf := make([]byte, 4096)
		n, err := master.Read(buf)
		must(b, err)
		text = append(text, buf[:n]...)
	}
	took := time.Since(begin)
	// The queue of a socket that nobody reads would stop a later kernel.
	must(b, h.notify.SetReadDeadline(time.Now().Add(testkit.Patience)))
	_, err := h.notify.Read(make([]byte, 4096))
	must(b, err)
	must(b, unix.Kill(-cmd.Process.Pid, unix.SIGKILL))
	cmd.Wait() // killed
	return took
}

// openPTY makes a pseudo-terminal (pts(4)).
func openPTY(b *testing.B) (master, slave *os.File) {
	b.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	must(b, err)
	master = os.NewFile(uintptr(fd), "/dev/ptmx") // with deadlines
	must(b, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	must(b, err)
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	must(b, err)
	return master, slave
}
