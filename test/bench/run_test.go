package bench

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"virtumld/internal/testkit"
)

// greeting is the first output of both guests.
const greeting = "the first line"

// BenchmarkRun compares "virtuml run" of a small image, from its execution to
// its command's first output, with the same kernel run by hand on a copy of the
// same image, with as much memory and the command as its init.
func BenchmarkRun(b *testing.B) {
	tool, s := virtuml(b), ourPool(b, start(b))
	program(b, tool, "image", "import", "--connect", s.uri, "--pool", "bench", "--name", "small", smallRoot(b))
	own := b.TempDir()
	disk := filepath.Join(own, "disk")
	program(b, "cp", "--sparse=always", filepath.Join(s.folder, "small"), disk)
	ours := func() time.Duration { return runGreeting(b, tool, s) }
	ours() // unmeasured: caches fill, the kernel is probed

	var run, hand samples
	for round := 0; b.Loop(); round++ {
		inTurns(round, func() { run = append(run, ours()) }, func() { hand = append(hand, bootGreeting(b, own, disk)) })
	}
	b.ReportMetric(0, "ns/op") // has the ends of the guests, too
	b.ReportMetric(millis(run.median(1)), "ms-virtuml-run")
	b.ReportMetric(millis(hand.median(1)), "ms-kernel")
	b.ReportMetric(millis(run.median(1)-hand.median(1)), "ms-above-kernel")
	b.ReportMetric(millis(run.fastest(1)-hand.fastest(1)), "ms-above-kernel-fastest")
}

// runGreeting times virtuml run, which has ended when it returns.
func runGreeting(b *testing.B, tool string, s poolSide) time.Duration {
	b.Helper()
	r, w, err := os.Pipe()
	must(b, err)
	defer r.Close()
	cmd := exec.Command(tool, "run", "--connect", s.uri, "--pool", "bench", "--rm", "-m", "128M", "small", "/greet")
	cmd.Stdout, cmd.Stderr = w, os.Stderr
	begin := time.Now()
	must(b, cmd.Start())
	must(b, w.Close())
	must(b, awaitGreeting(r))
	took := time.Since(begin)
	must(b, cmd.Wait())
	return took
}

// bootGreeting times a kernel whose console is a pty. It has powered off when
// this returns.
func bootGreeting(b *testing.B, own, disk string) time.Duration {
	b.Helper()
	master, slave := openPTY(b)
	defer master.Close()
	// virtumld turns address randomisation off, which spares the kernel work.
	ctx, cancel := context.WithTimeout(b.Context(), testkit.Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "setarch", "-R", testkit.Kernel(b), "mem=128M", "ubd0c="+disk, "root=/dev/ubda", "rw", "quiet",
		"con=null", "ssl=null", "con0=fd:3", "console=tty0", "uml_dir="+own+"/", "umid=hand", "init=/greet")
	cmd.Env = []string{"HOME=/", "TMPDIR=/dev/shm"}
	cmd.ExtraFiles = []*os.File{slave} // con0=fd:3
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	begin := time.Now()
	must(b, cmd.Start())
	slave.Close()
	must(b, awaitGreeting(master))
	took := time.Since(begin)
	must(b, cmd.Wait())
	return took
}

// awaitGreeting reads until the greeting has come.
func awaitGreeting(r *os.File) error {
	if err := r.SetReadDeadline(time.Now().Add(testkit.Patience)); err != nil {
		return err
	}
	var text []byte
	buffer := make([]byte, 4096)
	for !bytes.Contains(text, []byte(greeting)) {
		n, err := r.Read(buffer)
		if err != nil {
			return fmt.Errorf("%w after %q", err, text)
		}
		text = append(text, buffer[:n]...)
	}
	return nil
}

// smallRoot is a tarball of a shell and the command.
func smallRoot(b *testing.B) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "small.tar")
	f, err := os.Create(path)
	must(b, err)
	defer f.Close()
	shell, err := os.ReadFile("/bin/busybox")
	must(b, err)
	w := tar.NewWriter(f)
	for _, file := range []struct {
		name    string
		content []byte
	}{
		{"bin/busybox", shell},
		{"greet", []byte("#!/bin/busybox sh\necho " + greeting + "\n[ $$ != 1 ] || exec /bin/busybox poweroff -f\n")},
	} {
		must(b, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: file.name, Mode: 0o755, Size: int64(len(file.content))}))
		_, err = w.Write(file.content)
		must(b, err)
	}
	must(b, w.Close())
	return path
}
