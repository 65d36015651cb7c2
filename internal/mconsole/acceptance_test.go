package mconsole_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"virtumld/internal/mconsole"
	"virtumld/internal/mconsole/mconsoletest"
	"virtumld/internal/uml/kernel/kerneltest"
)

// TestFakeGuest and TestRealGuest run one suite, so that the fake cannot drift
// from the kernel.
func TestFakeGuest(t *testing.T) {
	t.Parallel()
	path := filepath.Join(kerneltest.ShortDir(t), "mconsole")
	mconsoletest.Start(t, path, (&mconsoletest.Kernel{}).Handle)
	acceptance(t, mconsole.New(path))
}

func TestRealGuest(t *testing.T) {
	t.Parallel()
	acceptance(t, mconsole.New(bootReady(t, nil)))
}

// A guest in a network namespace of its own cannot see abstract addresses.
func TestRealGuestInNetworkNamespace(t *testing.T) {
	t.Parallel()
	cwd := kerneltest.ShortDir(t)
	attr := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET}
	path := bootReadyIn(t, cwd, attr)

	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := mconsole.New(path).Version(ctx); !errors.Is(err, mconsole.ErrTimeout) {
		t.Errorf("a client with an abstract address got %v, want ErrTimeout", err)
	}
	client := mconsole.New(path, mconsole.ReplyIn(cwd))
	acceptance(t, client)
	relayed := filepath.Join(kerneltest.ShortDir(t), "mconsole")
	relay, err := mconsole.Serve(relayed, client)
	if err != nil {
		t.Fatal(err)
	}
	acceptance(t, mconsole.New(relayed))
	if err := relay.Close(); err != nil { // its last reply socket goes after the answer
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(cwd, "mconsole-*")); len(left) > 0 {
		t.Errorf("reply sockets left behind: %v", left)
	}
}

func acceptance(t *testing.T, c *mconsole.Client) {
	ctx := t.Context()
	ask := func(name string, f func() (string, error), want string) {
		t.Helper()
		text, err := f()
		if err != nil || !strings.Contains(text, want) {
			t.Errorf("%s: %q, %v; want text with %q", name, text, err, want)
		}
	}
	do := func(name string, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	refused := func(name string, err error, code int32, text string) {
		t.Helper()
		var refusal *mconsole.Error
		if !errors.As(err, &refusal) || refusal.Err != code || !strings.Contains(refusal.Text, text) {
			t.Errorf("%s: %v, want the refusal %d %q", name, err, code, text)
		}
	}
	ask("version", func() (string, error) { return c.Version(ctx) }, "Linux (none) ")
	ask("help of several datagrams", func() (string, error) { return c.Help(ctx) }, "version - Get kernel version")
	ask("proc of several datagrams", func() (string, error) { return c.Proc(ctx, "meminfo") }, "MemFree:")
	ask("config", func() (string, error) { return c.Config(ctx, "con1") }, "null")
	ask("sysrq", func() (string, error) { return c.Sysrq(ctx, 'h') }, "HELP")
	do("log", c.Log(ctx, "a word from the host"))

	_, err := c.Proc(ctx, "nonsense")
	refused("proc of no file", err, 1, "Failed to open file")
	_, err = c.Stack(ctx, 9999)
	refused("stack of no process", err, 1, "Couldn't find that pid")
	_, err = c.Command(ctx, "nonsense")
	refused("unknown command", err, 1, "Unknown command")
	refused("remove of no disk", c.Remove(ctx, "ubd5"), -19, "Device doesn't exist")
	err = c.SetConfig(ctx, "ubd1=/nonexistent")
	refused("config of a missing file", err, -2, "Couldn't determine size")
	if !errors.Is(err, syscall.ENOENT) {
		t.Errorf("%v is not ENOENT", err)
	}

	do("stop", c.Stop(ctx))
	refused("second stop", c.Stop(ctx), 1, "Already stopped")
	ask("version while stopped", func() (string, error) { return c.Version(ctx) }, "Linux")
	do("go", c.Go(ctx))
	refused("second go", c.Go(ctx), 1, "Not stopped")
}

func bootReady(t *testing.T, attr *syscall.SysProcAttr) string {
	return bootReadyIn(t, t.TempDir(), attr)
}

// bootReadyIn boots a guest and returns its mconsole socket once the guest's
// own notification names it.
func bootReadyIn(t *testing.T, cwd string, attr *syscall.SysProcAttr) string {
	t.Helper()
	dir := kerneltest.ShortDir(t)
	notices, err := mconsole.Listen(filepath.Join(dir, "notify"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { notices.Close() })
	g := kerneltest.Boot(t, kerneltest.Config{
		Dir:  cwd,
		Attr: attr,
		Args: []string{
			"mem=64M", "umid=guest", "uml_dir=" + dir, "mconsole=notify:" + filepath.Join(dir, "notify"),
			"initrd=" + kerneltest.Initrd(t, "echo INIT-UP\nwhile :; do sleep 1000; done\n"),
			"con=null", "ssl=null", "con0=fd:3", "ubd0r=/dev/null", "noreboot",
		},
	})
	select {
	case notice := <-notices.Notifications():
		if want := filepath.Join(dir, "guest/mconsole"); notice.Type != mconsole.Ready || notice.Text != want {
			t.Fatalf("first notification %+v, want Ready %s", notice, want)
		}
		g.WaitFor(t, "INIT-UP")
		return notice.Text
	case <-time.After(time.Minute):
		t.Fatalf("no notification; console:\n%s", g.Output())
		return ""
	}
}
