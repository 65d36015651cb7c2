// Package kerneltest boots the real UML kernel for the tests of other
// packages: a busybox initrd, a console that a test can wait on, and no
// process left behind. It is imported by tests only.
package kerneltest

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// bootTimeout is the limit on anything a test waits for. A boot takes about
// two seconds on an idle machine.
const bootTimeout = 60 * time.Second

// Binary returns the installed UML kernel's path.
func Binary(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("linux.uml")
	if err != nil {
		t.Fatal("no UML kernel: install the package user-mode-linux")
	}
	return path
}

// ShortDir returns a new folder with a path short enough for the kernel's
// sockets.
func ShortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "uml-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// Config is one boot.
type Config struct {
	// Args are the kernel's arguments. Descriptor 3 is the console's.
	Args []string
	// Dir is the kernel's working folder; "" makes an empty one.
	Dir string
	// Attr changes how the process is made, for tests of namespaces.
	Attr *syscall.SysProcAttr
}

// Guest is a booted kernel.
type Guest struct {
	// Console is the test's end of descriptor 3.
	Console net.Conn

	cmd    *exec.Cmd
	stderr bytes.Buffer
	exited chan struct{} // closed when the kernel is gone; state is set before

	mu     sync.Mutex // guards output
	output bytes.Buffer
	grown  chan struct{} // closed and replaced when output grows
}

// Boot starts the kernel. The test's end kills every process of it.
func Boot(t testing.TB, config Config) *Guest {
	t.Helper()
	if config.Dir == "" {
		config.Dir = t.TempDir()
	}
	console, guestEnd := socketPair(t)
	g := &Guest{Console: console, exited: make(chan struct{}), grown: make(chan struct{})}
	// Without -R the host's random heap gap is taken from the guest's memory.
	g.cmd = exec.Command("setarch", append([]string{"-R", Binary(t)}, config.Args...)...)
	g.cmd.Dir = config.Dir
	g.cmd.Env = []string{"TMPDIR=/dev/shm", "PATH=/usr/bin:/bin", "HOME=" + config.Dir}
	g.cmd.ExtraFiles = []*os.File{guestEnd}
	g.cmd.Stdout, g.cmd.Stderr = &g.stderr, &g.stderr
	g.cmd.WaitDelay = time.Second // orphans of kernels before 6.13 keep stderr open
	g.cmd.SysProcAttr = config.Attr
	if g.cmd.SysProcAttr == nil {
		g.cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	g.cmd.SysProcAttr.Setpgid = true
	if err := g.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	guestEnd.Close()
	go g.collect()
	go func() {
		_ = g.cmd.Wait() // ProcessState has it all
		close(g.exited)
	}()
	t.Cleanup(func() {
		// The whole group: a helper left alone would run on.
		_ = syscall.Kill(-g.cmd.Process.Pid, syscall.SIGKILL)
		<-g.exited
		console.Close()
	})
	return g
}

// WaitFor waits until the console has shown text, and fails the test when the
// guest ends or too much time passes before.
func (g *Guest) WaitFor(t testing.TB, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bootTimeout)
	defer cancel()
	for {
		g.mu.Lock()
		seen, grown := strings.Contains(g.output.String(), text), g.grown
		g.mu.Unlock()
		if seen {
			return
		}
		select {
		case <-grown:
		case <-g.exited:
			t.Fatalf("the guest ended (%v) before it showed %q; console:\n%s", g.cmd.ProcessState, text, g.Output())
		case <-ctx.Done():
			t.Fatalf("the console did not show %q; it shows:\n%s", text, g.Output())
		}
	}
}

// Wait waits for the kernel's end and returns how it ended.
func (g *Guest) Wait(t testing.TB) syscall.WaitStatus {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bootTimeout)
	defer cancel()
	select {
	case <-g.exited:
		return g.cmd.ProcessState.Sys().(syscall.WaitStatus)
	case <-ctx.Done():
		t.Fatalf("the guest did not end; console:\n%s", g.Output())
		return 0
	}
}

// Pid is the kernel's main process.
func (g *Guest) Pid() int { return g.cmd.Process.Pid }

// Output is what the console has shown so far.
func (g *Guest) Output() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.output.String()
}

// Stderr is what the kernel wrote to stdout and stderr; call it after Wait.
func (g *Guest) Stderr() string { return g.stderr.String() }

func (g *Guest) collect() {
	buffer := make([]byte, 4096)
	for {
		n, err := g.Console.Read(buffer)
		g.mu.Lock()
		g.output.Write(buffer[:n])
		close(g.grown)
		g.grown = make(chan struct{})
		g.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func socketPair(t testing.TB) (net.Conn, *os.File) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours := os.NewFile(uintptr(fds[0]), "console")
	defer ours.Close()
	conn, err := net.FileConn(ours)
	if err != nil {
		t.Fatal(err)
	}
	return conn, os.NewFile(uintptr(fds[1]), "guest console")
}
