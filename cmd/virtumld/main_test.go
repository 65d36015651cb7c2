package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"
	"github.com/digitalocean/go-libvirt/socket/dialers"

	"virtumld/internal/daemon"
	"virtumld/internal/paths"
)

// asMain in the environment makes the test binary the daemon itself.
const asMain = "VIRTUMLD_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asMain) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// patience is how long a test waits for what should happen at once.
const patience = 20 * time.Second

// process is a daemon with files of its own.
type process struct {
	*exec.Cmd
	stderr bytes.Buffer // complete when ended is closed
	paths  paths.Paths
	notify *net.UnixConn // what it tells the service manager

	ended chan struct{}
	err   error // what Wait said, when ended is closed
}

// theEnd is what a process's end adds to what it told the service manager.
const theEnd = "ENDED"

// command prepares a daemon with a bare environment, as a libvirt client gives
// it, and a folder of its own.
func command(t *testing.T, dir string, args ...string) *process {
	t.Helper()
	p := &process{}
	if os.Geteuid() == 0 {
		args = append(args, "--root", dir)
		p.paths = paths.System(dir)
	} else {
		p.paths = paths.Session(func(name string) string {
			return map[string]string{"HOME": dir}[name]
		})
	}
	// The shell's pid becomes the daemon's, as LISTEN_PID wants it.
	shell := []string{"-c", `LISTEN_PID=$$ exec "$0" "$@"`, os.Args[0]}
	p.Cmd = exec.CommandContext(t.Context(), "sh", append(shell, args...)...)
	p.Env = []string{asMain + "=1", "HOME=" + dir, "PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	p.Stderr = &p.stderr
	return p
}

// shortDir is a folder whose paths are short enough for sockets.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "virtumld")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// start starts the daemon and returns when it says that it is ready.
func (p *process) start(t *testing.T) {
	t.Helper()
	path := filepath.Join(shortDir(t), "notify")
	var err error
	p.notify, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.notify.Close() })
	p.Env = append(p.Env, "NOTIFY_SOCKET="+path)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	p.ended = make(chan struct{})
	go func() {
		defer close(p.ended)
		p.err = p.Wait()
		if conn, err := net.Dial("unixgram", path); err == nil {
			_, _ = conn.Write([]byte(theEnd)) // the test has ended if this fails
			_ = conn.Close()
		}
	}()
	p.expect(t, "READY=1")
}

// expect waits for a message to the service manager.
func (p *process) expect(t *testing.T, want string) {
	t.Helper()
	if err := p.notify.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 256)
	n, err := p.notify.Read(buf)
	if err != nil || string(buf[:n]) != want {
		_ = p.Process.Kill() // it may have ended
		<-p.ended
		t.Fatalf("the daemon told %q, %v, want %q; it said:\n%s", buf[:n], err, want, p.stderr.String())
	}
}

// stop ends the daemon with SIGTERM and checks that it ends well.
func (p *process) stop(t *testing.T) {
	t.Helper()
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.expect(t, "STOPPING=1")
	if err := p.wait(t); err != nil {
		t.Fatalf("after SIGTERM: %v; it said:\n%s", err, p.stderr.String())
	}
}

// wait returns how the daemon ended.
func (p *process) wait(t *testing.T) error {
	t.Helper()
	select {
	case <-p.ended:
		return p.err
	case <-time.After(patience):
		t.Fatal("the daemon does not end")
		return nil
	}
}

// connect opens the hypervisor connection on a socket.
func connect(t *testing.T, path string) *libvirt.Libvirt {
	t.Helper()
	l := libvirt.NewWithDialer(dialers.NewLocal(dialers.WithSocket(path), dialers.WithLocalTimeout(patience)))
	uri := libvirt.ConnectURI("uml:///session")
	if os.Geteuid() == 0 {
		uri = "uml:///system"
	}
	if err := l.ConnectToURI(uri); err != nil {
		t.Fatalf("cannot connect to %s: %v", path, err)
	}
	return l
}

func TestServe(t *testing.T) {
	t.Parallel()
	d := command(t, shortDir(t))
	d.start(t)
	l := connect(t, d.paths.Socket())
	if name, err := l.ConnectGetType(); err != nil || name != "UML" {
		t.Errorf("the driver's type is %q, %v", name, err)
	}
	if _, err := l.ConnectGetHostname(); err != nil {
		t.Error(err)
	}
	if err := l.Disconnect(); err != nil {
		t.Error(err)
	}
	d.stop(t)
	if _, err := os.Lstat(d.paths.Socket()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}

// TestActivation passes sockets as the service manager does.
func TestActivation(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	d := command(t, dir)
	for _, name := range []string{"rw", "ro"} {
		l, err := net.Listen("unix", filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		f, err := l.(*net.UnixListener).File()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		d.ExtraFiles = append(d.ExtraFiles, f)
	}
	d.Env = append(d.Env, "LISTEN_FDS=2", "LISTEN_FDNAMES=virtumld.socket:virtumld-ro.socket")
	d.start(t)

	writable, readOnly := connect(t, filepath.Join(dir, "rw")), connect(t, filepath.Join(dir, "ro"))
	const document = "<domain type='uml'><name>d</name><memory>65536</memory><os><type>uml</type><kernel>/nowhere</kernel></os></domain>"
	if _, err := readOnly.DomainDefineXML(document); err == nil || !strings.Contains(err.Error(), "read only") {
		t.Errorf("define on the read-only socket: %v", err)
	}
	if _, err := writable.DomainDefineXML(document); err != nil {
		t.Errorf("define: %v", err)
	}
	if _, err := os.Lstat(d.paths.Socket()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the daemon made a socket of its own too: %v", err)
	}
	d.stop(t)
	if _, err := os.Lstat(filepath.Join(dir, "rw")); err != nil {
		t.Errorf("the service manager's socket is gone: %v", err)
	}
}

func TestSecondDaemon(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	first := command(t, dir)
	first.start(t)
	second := command(t, dir)
	status(t, second.Run(), exitRunning)
	want := fmt.Sprintf("virtumld: another virtumld serves this instance already: process %d holds", first.Process.Pid)
	if !strings.HasPrefix(second.stderr.String(), want) {
		t.Errorf("the second daemon said %q, want %q", second.stderr.String(), want)
	}
	first.stop(t)
}

// TestKilled: a daemon after one that was killed finds a socket and a pid file
// that nobody holds.
func TestKilled(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	first := command(t, dir)
	first.start(t)
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	second := command(t, dir)
	second.start(t) // the first may not be quite dead yet
	if err := first.wait(t); err == nil {
		t.Fatal("the daemon ended well in spite of SIGKILL")
	}
	if err := connect(t, second.paths.Socket()).Disconnect(); err != nil {
		t.Error(err)
	}
	second.stop(t)
}

// TestIdle: with a client the daemon stays; without one it ends by itself.
func TestIdle(t *testing.T) {
	t.Parallel()
	d := command(t, shortDir(t), "--timeout=1")
	d.start(t)
	l := connect(t, d.paths.Socket())
	// The timeout runs out once with the client connected.
	select {
	case <-d.ended:
		t.Fatalf("ended with a client connected: %v\n%s", d.err, d.stderr.String())
	case <-time.After(2 * time.Second):
	}
	if err := l.Disconnect(); err != nil {
		t.Error(err)
	}
	if err := d.wait(t); err != nil {
		t.Errorf("ended with %v:\n%s", err, d.stderr.String())
	}
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		args   string
		status int
		want   string
	}{
		{"--help", 0, daemon.Usage},
		{"--version", 0, "virtumld " + version + "\n"},
		{"--daemonise", exitUsage, "virtumld: flag provided but not defined: -daemonise\nTry 'virtumld --help'.\n"},
		{"--config /none/such.conf", exitConfig, "virtumld: the settings cannot be used: "},
	} {
		d := command(t, shortDir(t), strings.Fields(tt.args)...)
		var stdout bytes.Buffer
		d.Stdout = &stdout
		status(t, d.Run(), tt.status)
		if got := stdout.String() + d.stderr.String(); !strings.HasPrefix(got, tt.want) {
			t.Errorf("virtumld %s said %q, want %q", tt.args, got, tt.want)
		}
	}
}

func status(t *testing.T, err error, want int) {
	t.Helper()
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("exit status %d, want %d", got, want)
	}
}

// TestExitStatuses: virtumld(8) lists the statuses.
func TestExitStatuses(t *testing.T) {
	page, err := os.ReadFile("../../docs/virtumld.8")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), ".Sh EXIT STATUS")
	section, _, _ = strings.Cut(section, ".Sh EXAMPLES")
	for _, code := range []int{0, exitFailed, exitUsage, exitRunning, exitConfig} {
		if !strings.Contains(section, ".It "+strconv.Itoa(code)+"\n") {
			t.Errorf("virtumld(8) does not list exit status %d", code)
		}
	}
}

// TestUnits has systemd check the units, with the test binary in the place of
// the installed one.
func TestUnits(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	for scope, folder := range map[string]string{"--system": "../../init", "--user": "../../init/user"} {
		dir := t.TempDir()
		var units []string
		for _, pattern := range []string{"*.socket", "*.service"} {
			found, err := filepath.Glob(filepath.Join(folder, pattern))
			if err != nil || len(found) == 0 {
				t.Fatalf("no units in %s: %v", folder, err)
			}
			for _, source := range found {
				text, err := os.ReadFile(source)
				if err != nil {
					t.Fatal(err)
				}
				unit := filepath.Join(dir, filepath.Base(source))
				replaced := bytes.ReplaceAll(text, []byte("ExecStart=/usr/sbin/virtumld"), []byte("ExecStart="+os.Args[0]))
				if err := os.WriteFile(unit, replaced, 0o600); err != nil {
					t.Fatal(err)
				}
				units = append(units, unit)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		cmd := exec.CommandContext(ctx, analyze, append([]string{"verify", "--man=no", scope}, units...)...)
		cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+dir)
		out, err := cmd.CombinedOutput()
		if err != nil || len(out) > 0 {
			t.Errorf("%s units: %v\n%s", scope, err, out)
		}
	}
}
