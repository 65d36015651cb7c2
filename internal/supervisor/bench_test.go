package supervisor_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"virtumld/internal/supervisor"
)

// BenchmarkFirstLine compares the time to a guest's first line of console
// output with that of the same kernel command line run by hand, in one run.
// VIRTUMLD names a built binary to run as the supervisor.
func BenchmarkFirstLine(b *testing.B) {
	executable := os.Getenv("VIRTUMLD")
	if executable == "" {
		executable = "/proc/self/exe"
	}
	var bare, supervised, made time.Duration
	var resident int
	for b.Loop() {
		spec := newSpec(b, "read x")
		bare += bareFirstLine(b, spec)
		begin := time.Now()
		h, err := supervisor.Start(b.Context(), executable, spec)
		if err != nil {
			b.Fatal(err)
		}
		made += time.Since(begin)
		tty, err := os.Open(h.Facts().PTYs["con0"])
		if err != nil {
			b.Fatal(err)
		}
		firstLine(b, tty)
		supervised += time.Since(begin)
		tty.Close()
		for e := range h.Events() {
			if e.Type == supervisor.Ready {
				break
			}
		}
		resident = max(resident, rss(b, h.Facts().SupervisorPID))
		if err := h.Kill(b.Context()); err != nil {
			b.Fatal(err)
		}
		if err := errors.Join(h.Close(), supervisor.Forget(spec.Dir)); err != nil {
			b.Fatal(err)
		}
	}
	n := float64(b.N)
	b.ReportMetric(bare.Seconds()*1000/n, "bare-ms")
	b.ReportMetric(supervised.Seconds()*1000/n, "supervised-ms")
	b.ReportMetric(made.Seconds()*1000/n, "made-ms")
	b.ReportMetric(float64(resident), "rss-KiB")
}

// bareFirstLine runs the kernel of spec by hand, as near to what a supervisor
// does with it as a shell could.
func bareFirstLine(b *testing.B, spec *supervisor.Spec) time.Duration {
	b.Helper()
	dir := b.TempDir()
	var args []string
	for _, arg := range spec.Args {
		arg = strings.ReplaceAll(arg, supervisor.Root+"/initrd", spec.Files[0].Host)
		arg = strings.ReplaceAll(arg, supervisor.Root+supervisor.GuestUMLDir, dir+"/")
		if !strings.HasPrefix(arg, "mconsole=") && !strings.HasPrefix(arg, "hostfs=") {
			args = append(args, arg)
		}
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		b.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "ours"), os.NewFile(uintptr(fds[1]), "theirs")
	defer ours.Close()
	cmd := exec.CommandContext(b.Context(), "setarch", append([]string{"-R", spec.Kernel}, args...)...)
	cmd.Dir, cmd.Env = dir, []string{"HOME=" + dir, "TMPDIR=/dev/shm"}
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true}
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	theirs.Close()
	firstLine(b, ours)
	took := time.Since(begin)
	_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
	_ = cmd.Wait()
	return took
}

func firstLine(b *testing.B, f *os.File) {
	b.Helper()
	if _, err := bufio.NewReader(f).ReadString('\n'); err != nil {
		b.Fatal(err)
	}
}

// rss is a process's resident memory in KiB.
func rss(b *testing.B, pid int) int {
	b.Helper()
	text, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(pid), "status"))
	if err != nil {
		b.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "VmRSS:")
	var kib int
	if _, err := fmt.Sscan(after, &kib); err != nil {
		b.Fatal(err)
	}
	return kib
}
