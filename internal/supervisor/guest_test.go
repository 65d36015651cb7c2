package supervisor_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"virtumld/internal/domxml"
	"virtumld/internal/supervisor"
	"virtumld/internal/testkit/initrd"
)

// patience is how long a test waits for anything.
const patience = 60 * time.Second

// guest is a guest under test with all that is its own.
type guest struct {
	*supervisor.Handle
	t    *testing.T
	spec *supervisor.Spec
}

// newSpec describes a guest that runs script as its init, with a pty on con0.
func newSpec(t testing.TB, script string) *supervisor.Spec {
	t.Helper()
	kernel, err := exec.LookPath("linux.uml")
	if err != nil {
		t.Fatalf("the package user-mode-linux is missing: %v", err)
	}
	dir := t.TempDir()
	// A system instance's guest runs as another user, which must reach it.
	for d := dir; strings.HasPrefix(d, os.TempDir()+"/"); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return &supervisor.Spec{
		Name: "demo", UUID: "b4433fc2-a22e-ffb3-0a3d-9c173b395800", UMID: "demo",
		Dir: filepath.Join(dir, "guests", "b4433fc2"), UMLDir: filepath.Join(dir, "uml"),
		Owners: filepath.Join(dir, "owners.json"),
		Kernel: kernel, Libraries: libraries(t, kernel),
		Args: []string{
			"mem=128M", "umid=demo", "uml_dir=" + supervisor.Root + supervisor.GuestUMLDir,
			"mconsole=notify:" + supervisor.Root + supervisor.GuestNotify,
			"noreboot", "con=null", "ssl=null", "con0=fd:3", "ubd0rcd=/dev/null", "root=/dev/ram0",
			"hostfs=" + supervisor.Root + supervisor.GuestHostfs,
			"initrd=" + supervisor.Root + "/initrd",
		},
		Files:    []supervisor.File{{Host: initrd.Build(t, script), Guest: "/initrd", ReadOnly: true}},
		Channels: []supervisor.Channel{{Line: "con0", Chardev: domxml.Chardev{Type: domxml.ChardevPTY}}},
		ShmBytes: 192 << 20, Contain: true,
		LogFile:    filepath.Join(dir, "demo.log"),
		OnPoweroff: domxml.ActionDestroy, OnReboot: domxml.ActionRestart, OnCrash: domxml.ActionDestroy,
	}
}

func libraries(t testing.TB, kernel string) []string {
	t.Helper()
	out, err := exec.Command("ldd", kernel).Output()
	if err != nil {
		t.Fatalf("ldd %s: %v", kernel, err)
	}
	var found []string
	for line := range strings.Lines(string(out)) {
		for _, field := range strings.Fields(line) {
			if strings.HasPrefix(field, "/") {
				found = append(found, field)
			}
		}
	}
	return found
}

// start starts the guest of spec and ends it with the test.
func start(t *testing.T, spec *supervisor.Spec) *guest {
	t.Helper()
	h, err := supervisor.Start(t.Context(), "/proc/self/exe", spec)
	if err != nil {
		t.Fatal(err)
	}
	g := &guest{Handle: h, t: t, spec: spec}
	t.Cleanup(g.cleanUp)
	return g
}

func (g *guest) cleanUp() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_ = g.Kill(ctx) // most have ended
	if err := errors.Join(g.Close(), supervisor.Forget(g.spec.Dir)); err != nil {
		g.t.Error(err)
	}
	if g.t.Failed() {
		log, _ := os.ReadFile(g.spec.LogFile)
		g.t.Logf("guest log:\n%s", log)
	}
}

// await takes the next event, which must be of the type.
func (g *guest) await(want supervisor.EventType) supervisor.Event {
	g.t.Helper()
	select {
	case e, open := <-g.Events():
		if !open || e.Type != want {
			g.t.Fatalf("got event %+v (open %v, exit %+v), want %s", e, open, e.Exit, want)
		}
		return e
	case <-time.After(patience):
		g.t.Fatalf("no event %s", want)
		return supervisor.Event{}
	}
}

func (g *guest) awaitExit(cause string) *supervisor.Exit {
	g.t.Helper()
	exit := g.await(supervisor.Exited).Exit
	if exit.Cause != cause {
		g.t.Fatalf("exit %+v, want cause %s", exit, cause)
	}
	return exit
}

// console is a reader of a pty.
type consoleReader struct {
	*os.File
	t     *testing.T
	lines *bufio.Reader
}

func (g *guest) console() *consoleReader {
	g.t.Helper()
	return openConsole(g.t, g.Facts().PTYs["con0"])
}

func openConsole(t *testing.T, path string) *consoleReader {
	t.Helper()
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatalf("open %q: %v", path, err)
	}
	f := os.NewFile(uintptr(fd), path)
	t.Cleanup(func() { f.Close() })
	return &consoleReader{f, t, bufio.NewReader(f)}
}

// until reads until a line holds text, and returns that line.
func (c *consoleReader) until(text string) string {
	c.t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		c.t.Fatal(err)
	}
	var seen []string
	for {
		line, err := c.lines.ReadString('\n')
		seen = append(seen, strings.TrimRight(line, "\r\n"))
		if strings.Contains(line, text) {
			return seen[len(seen)-1]
		}
		if err != nil {
			c.t.Fatalf("console: %v before %q; last lines:\n%s", err, text, strings.Join(seen[max(0, len(seen)-20):], "\n"))
		}
	}
}

func (c *consoleReader) say(format string, args ...any) {
	c.t.Helper()
	if _, err := fmt.Fprintf(c, format, args...); err != nil {
		c.t.Fatal(err)
	}
}

// gone checks that nothing of the guest is left but its record.
func (g *guest) gone() {
	g.t.Helper()
	if _, err := os.Lstat(filepath.Join(g.spec.UMLDir, g.spec.UMID)); !errors.Is(err, fs.ErrNotExist) {
		g.t.Errorf("the umid entry is left: %v", err)
	}
	if left := processesOf(g.t, g.spec.Dir); len(left) > 0 {
		g.t.Errorf("processes are left: %v", left)
	}
}

// processesOf lists the guest processes of dir: those that have its uml_dir as
// working folder, in whatever namespace.
func processesOf(t *testing.T, dir string) []string {
	t.Helper()
	var want unix.Stat_t
	if err := unix.Stat(filepath.Join(dir, "uml"), &want); err != nil {
		return nil
	}
	var found []string
	paths, err := filepath.Glob("/proc/[0-9]*/cwd")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		var st unix.Stat_t
		if unix.Stat(path, &st) == nil && st.Dev == want.Dev && st.Ino == want.Ino {
			found = append(found, path)
		}
	}
	return found
}

// watch returns what waits for the end of a process.
func watch(t *testing.T, pid int) func() {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return func() {
		t.Helper()
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		deadline := time.Now().Add(patience)
		for {
			n, err := unix.Poll(poll, int(time.Until(deadline).Milliseconds()))
			if err == unix.EINTR {
				continue
			}
			if n != 1 {
				t.Fatalf("process %d does not end: %v", pid, err)
			}
			return
		}
	}
}

// collect reads until a line holds text, and returns all lines before it.
func (c *consoleReader) collect(text string) string {
	c.t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		c.t.Fatal(err)
	}
	var seen strings.Builder
	for {
		line, err := c.lines.ReadString('\n')
		if strings.Contains(line, text) {
			return seen.String()
		}
		seen.WriteString(line)
		if err != nil {
			c.t.Fatalf("console: %v before %q:\n%s", err, text, seen.String())
		}
	}
}
