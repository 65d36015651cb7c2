package mconsole_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"virtumld/internal/mconsole"
	"virtumld/internal/mconsole/mconsoletest"
	"virtumld/internal/uml/kernel/kerneltest"
)

func fake(t *testing.T, handler mconsoletest.Handler) (*mconsole.Client, *mconsoletest.Guest) {
	t.Helper()
	path := filepath.Join(kerneltest.ShortDir(t), "mconsole")
	return mconsole.New(path), mconsoletest.Start(t, path, handler)
}

func TestAnswersOfManyParts(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("0123456789", 500)
	client, _ := fake(t, func(string) mconsoletest.Reply {
		return mconsoletest.Reply{Parts: []string{"\n", long, "", "end", ""}}
	})
	if text, err := client.Proc(t.Context(), "kallsyms"); err != nil || text != long+"end" {
		t.Errorf("%d bytes, %v", len(text), err)
	}
}

// A refusal's code stands in the first datagram alone.
func TestRefusalOfManyParts(t *testing.T) {
	t.Parallel()
	client, _ := fake(t, func(string) mconsoletest.Reply {
		return mconsoletest.Reply{Err: -22, Parts: []string{"Expected '=' ", "or flag letter"}}
	})
	err := client.SetConfig(t.Context(), "ubd1x=/disk1")
	var refusal *mconsole.Error
	if !errors.As(err, &refusal) || refusal.Err != -22 || refusal.Text != "Expected '=' or flag letter" || !errors.Is(err, syscall.EINVAL) {
		t.Errorf("%v", err)
	}
}

func TestMalformedAnswers(t *testing.T) {
	t.Parallel()
	for name, raw := range map[string][]byte{
		"bare text": []byte("ERR Version 0 mconsole clients are not supported by this driver"),
		"short":     {0, 0, 0, 0},
		"overlong":  {0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 'x'},
	} {
		client, _ := fake(t, func(string) mconsoletest.Reply { return mconsoletest.Reply{Raw: raw} })
		if text, err := client.Version(t.Context()); err == nil || text != "" {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
}

// A late answer belongs to nobody: the next request must not take it for its
// own.
func TestLateAnswer(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	var calls atomic.Int32
	client, guest := fake(t, func(command string) mconsoletest.Reply {
		if calls.Add(1) == 1 {
			<-release
			return mconsoletest.Reply{Parts: []string{"late"}}
		}
		return mconsoletest.Reply{Parts: []string{"answer to " + command}}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := client.Version(ctx); !errors.Is(err, mconsole.ErrTimeout) {
		t.Fatalf("a silent guest: %v", err)
	}
	close(release)
	if text, err := client.Config(t.Context(), "con0"); err != nil || text != "answer to config con0" {
		t.Errorf("%q, %v", text, err)
	}
	if got := guest.Commands(); len(got) != 2 {
		t.Errorf("the guest saw %q", got)
	}
}

// The kernel answers queued requests last in, first out. A guest that is never
// sent a second request before it has answered the first has none to confuse.
func TestOneRequestInFlight(t *testing.T) {
	t.Parallel()
	guests := make(chan *mconsoletest.Guest, 1)
	client, guest := fake(t, func(command string) mconsoletest.Reply {
		g := <-guests
		defer func() { guests <- g }()
		if g.Queued() {
			return mconsoletest.Reply{Err: 1, Parts: []string{"another request waits"}}
		}
		return mconsoletest.Reply{Parts: []string{command, command}}
	})
	guests <- guest
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			device := "con" + strconv.Itoa(i)
			if text, err := client.Config(t.Context(), device); err != nil || text != "config "+device+"config "+device {
				t.Errorf("%s: %q, %v", device, text, err)
			}
		})
	}
	wg.Wait()
}

// A caller that waits for its turn gives up with its own context.
func TestWaitingForATurn(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan struct{}), make(chan struct{})
	client, _ := fake(t, func(string) mconsoletest.Reply {
		close(arrived)
		<-release
		return mconsoletest.Reply{}
	})
	first := make(chan error, 1)
	go func() { first <- client.Go(t.Context()) }()
	<-arrived
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := client.Go(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	close(release)
	if err := <-first; err != nil {
		t.Error(err)
	}
}

func TestNoGuest(t *testing.T) {
	t.Parallel()
	dir := kerneltest.ShortDir(t)
	stale := filepath.Join(dir, "stale")
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_DGRAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: stale}); err != nil {
		t.Fatal(err)
	}
	syscall.Close(fd)
	for _, path := range []string{filepath.Join(dir, "missing"), filepath.Join(dir, "no/folder"), stale} {
		if _, err := mconsole.New(path).Version(t.Context()); !errors.Is(err, mconsole.ErrNoGuest) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// A guest's user owns the folder, and may put anything there.
func TestNotASocket(t *testing.T) {
	t.Parallel()
	client, guest := fake(t, (&mconsoletest.Kernel{}).Handle)
	if _, err := client.Version(t.Context()); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	link, file := filepath.Join(dir, "link"), filepath.Join(dir, "file")
	if err := os.Symlink(guest.Path, link); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{link, file} {
		if _, err := mconsole.New(path).Version(t.Context()); err == nil || !strings.Contains(err.Error(), "not a socket") {
			t.Errorf("%s: %v", path, err)
		}
	}
	// A guest that owns its uml_dir could lead to another's socket.
	folder := filepath.Join(dir, "folder")
	if err := os.Symlink(filepath.Dir(guest.Path), folder); err != nil {
		t.Fatal(err)
	}
	if _, err := mconsole.New(filepath.Join(folder, filepath.Base(guest.Path))).Version(t.Context()); err == nil {
		t.Error("a link was followed to the folder of another guest")
	}
}

func TestLongPath(t *testing.T) {
	t.Parallel()
	short := kerneltest.ShortDir(t)
	if err := os.Mkdir(filepath.Join(short, "u"), 0o700); err != nil {
		t.Fatal(err)
	}
	mconsoletest.Start(t, filepath.Join(short, "u", "m"), (&mconsoletest.Kernel{}).Handle)
	long := filepath.Join(t.TempDir(), strings.Repeat("x", 200))
	if err := os.Symlink(short, long); err != nil {
		t.Fatal(err)
	}
	if _, err := mconsole.New(filepath.Join(long, "u", "m")).Version(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestRefusedArguments(t *testing.T) {
	t.Parallel()
	client, guest := fake(t, (&mconsoletest.Kernel{}).Handle)
	ctx := t.Context()
	_, version := client.Command(ctx, strings.Repeat("x", mconsole.MaxCommand+1))
	if !errors.Is(version, mconsole.ErrTooLong) {
		t.Errorf("too long: %v", version)
	}
	_, nul := client.Command(ctx, "version\x00")
	_, sysrq := client.Sysrq(ctx, '\n')
	_, proc := client.Proc(ctx, "")
	_, config := client.Config(ctx, "ubd0=/etc/shadow")
	for name, err := range map[string]error{
		"NUL": nul, "sysrq": sysrq, "proc": proc, "config that sets": config,
		"setting without value": client.SetConfig(ctx, "con0"), "remove of nothing": client.Remove(ctx, ""),
	} {
		if !errors.Is(err, mconsole.ErrBadCommand) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if seen := guest.Commands(); len(seen) > 0 {
		t.Errorf("the guest saw %q", seen)
	}
	if _, err := client.Command(ctx, strings.Repeat("x", mconsole.MaxCommand)); err == nil || errors.Is(err, mconsole.ErrTooLong) {
		t.Errorf("the longest command: %v", err)
	}
}
