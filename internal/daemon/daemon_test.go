package daemon

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"virtumld/internal/paths"
	"virtumld/internal/sock"
)

// fake is an instance without guests: it greets clients and says what happens.
type fake struct {
	setup     setup
	serving   chan []sock.Socket
	autostart atomic.Int32
	closed    atomic.Bool
	failure   error // what Serve returns at once
}

func newFake() *fake { return &fake{serving: make(chan []sock.Socket, 1)} }

func (f *fake) build(_ context.Context, s setup) (instance, error) {
	f.setup = s
	return f, nil
}

func (f *fake) Serve(ctx context.Context, sockets []sock.Socket) error {
	if f.failure != nil {
		return f.failure
	}
	f.serving <- sockets
	<-ctx.Done()
	return nil
}

func (f *fake) Autostart(context.Context) { f.autostart.Add(1) }
func (f *fake) Busy() bool                { return false }
func (f *fake) Close() error              { f.closed.Store(true); return nil }

// trial keeps an instance's files in a folder of the test's own, whoever runs
// it, and returns where they are.
func trial(t *testing.T) (Options, paths.Paths) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	for _, name := range []string{"CONFIG_HOME", "CACHE_HOME", "RUNTIME_DIR"} {
		t.Setenv("XDG_"+name, filepath.Join(dir, name))
	}
	opts := Options{Root: "/"}
	if os.Geteuid() == 0 {
		opts.Root = dir
	}
	return opts, paths.ForThisProcess(opts.Root)
}

// start runs an instance and returns once it serves. The returned function
// stops it and returns what run returned.
func start(t *testing.T, opts Options, f *fake, reload <-chan os.Signal) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, opts, reload, f.build) }()
	select {
	case <-f.serving:
	case err := <-ended:
		t.Fatalf("run = %v before it served", err)
	}
	return func() error { cancel(); return <-ended }
}

func TestRun(t *testing.T) {
	opts, p := trial(t)
	f := newFake()
	stop := start(t, opts, f, nil)
	conn, err := net.Dial("unix", p.Socket())
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if text, err := os.ReadFile(p.PIDFile); err != nil || len(text) == 0 {
		t.Errorf("the pid file holds %q, %v", text, err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if !f.closed.Load() {
		t.Error("the instance was not closed")
	}
	for _, path := range []string{p.Socket(), p.ReadOnlySocket()} {
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", path, err)
		}
	}
	if text, err := os.ReadFile(p.PIDFile); err != nil || len(text) != 0 {
		t.Errorf("after the end, the pid file holds %q, %v", text, err)
	}
}

func TestRunSecond(t *testing.T) {
	opts, _ := trial(t)
	stop := start(t, opts, newFake(), nil)
	err := run(t.Context(), opts, nil, newFake().build)
	if !errors.Is(err, ErrRunning) {
		t.Errorf("the second run = %v, want ErrRunning", err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if err := start(t, opts, newFake(), nil)(); err != nil {
		t.Errorf("a run after the first one's end = %v", err)
	}
}

func TestRunIdle(t *testing.T) {
	opts, _ := trial(t)
	opts.Timeout = 1
	if err := run(t.Context(), opts, nil, newFake().build); err != nil {
		t.Errorf("run = %v, want an end when idle", err)
	}
}

func TestRunServeFails(t *testing.T) {
	opts, p := trial(t)
	f := newFake()
	f.failure = errors.New("the socket broke")
	if err := run(t.Context(), opts, nil, f.build); !errors.Is(err, f.failure) {
		t.Errorf("run = %v, want %v", err, f.failure)
	}
	if _, err := os.Lstat(p.Socket()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}

func TestRunAutostartsOncePerBoot(t *testing.T) {
	opts, _ := trial(t)
	for run, want := range []int32{1, 0} {
		f := newFake()
		if err := start(t, opts, f, nil)(); err != nil {
			t.Fatal(err)
		}
		if got := f.autostart.Load(); got != want {
			t.Errorf("run %d started domains %d times, want %d", run, got, want)
		}
	}
}

func TestRunSettings(t *testing.T) {
	opts, p := trial(t)
	write := func(text string) {
		if err := os.MkdirAll(filepath.Dir(p.ConfFile), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p.ConfFile, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("max_clients = 3\nlog_level = 4\n")
	f, reload := newFake(), make(chan os.Signal)
	stop := start(t, opts, f, reload)
	if f.setup.config.MaxClients != 3 {
		t.Errorf("max_clients is %d, want 3", f.setup.config.MaxClients)
	}
	if f.setup.log.Enabled(t.Context(), -4) {
		t.Error("debug messages are logged before the settings say so")
	}
	write("log_level = 1\n")
	// The second is taken when the first has been dealt with.
	reload <- syscall.SIGHUP
	reload <- syscall.SIGHUP
	if !f.setup.log.Enabled(t.Context(), -4) {
		t.Error("debug messages are not logged after the settings were read again")
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	write("max_clients = no\n")
	err := run(t.Context(), opts, nil, newFake().build)
	if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), p.ConfFile+": line 1: ") {
		t.Errorf("run with broken settings = %v", err)
	}
	opts.Config = filepath.Join(t.TempDir(), "none.conf")
	if err := run(t.Context(), opts, nil, newFake().build); !errors.Is(err, ErrConfig) {
		t.Errorf("run with a file that is not there = %v", err)
	}
}

// TestRunModes: the system's sockets are not open to everybody, a session's
// to nobody else.
func TestRunModes(t *testing.T) {
	mask := syscall.Umask(0o022)
	defer syscall.Umask(mask)
	opts, p := trial(t)
	stop := start(t, opts, newFake(), nil)
	defer func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	}()
	info, err := os.Lstat(p.Socket())
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm()&0o007 != 0 {
		t.Errorf("%s has mode %s", p.Socket(), info.Mode())
	}
	if dir, err := os.Stat(p.SocketDir); err != nil || !p.System && dir.Mode().Perm() != 0o700 {
		t.Errorf("%s has mode %s, %v", p.SocketDir, dir.Mode(), err)
	}
	for path, want := range map[string]os.FileMode{p.ConfigDir: 0o700, p.LogDir: 0o700, filepath.Dir(p.ConfigDir): 0o755} {
		if !p.System {
			want = 0o700
		}
		if dir, err := os.Stat(path); err != nil || dir.Mode().Perm() != want {
			t.Errorf("%s has mode %s, %v, want %s", path, dir.Mode(), err, want)
		}
	}
	_, err = os.Lstat(p.ReadOnlySocket())
	if p.System != (err == nil) {
		t.Errorf("the read-only socket: %v; system instance: %v", err, p.System)
	}
}

func TestRootNeedsSystem(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root runs the system instance")
	}
	if _, err := instancePaths(Options{Root: "/elsewhere"}); err == nil {
		t.Error("a session instance took --root")
	}
}
