package testkit

import (
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Daemon is a virtumld of a test's own.
type Daemon struct {
	// Dir holds everything of the instance. Its path is short, since the
	// sockets below must fit into 107 bytes.
	Dir string
	// URI is what virsh connects to.
	URI string
	// Socket is the read-write socket.
	Socket string
	// PID is the running daemon's process.
	PID int

	t        testing.TB
	identity Identity
	account  account
	args     []string
	env      []string

	cmd    *exec.Cmd
	exited chan struct{} // closed when cmd has ended
}

// Each runs a test with a daemon of root's and with one of an ordinary user's.
func Each(t *testing.T, test func(t *testing.T, d *Daemon)) {
	t.Helper()
	for _, id := range Identities {
		t.Run(string(id), func(t *testing.T) {
			t.Parallel()
			test(t, Start(t, id))
		})
	}
}

// Start runs a daemon as id, with args added to its command line, and returns
// when it is ready. It ends with the test, which fails when a guest is still
// running then.
func Start(t testing.TB, id Identity, args ...string) *Daemon {
	t.Helper()
	d := prepare(t, id)
	d.args = append(d.args, args...)
	d.Start()
	t.Cleanup(d.cleanUp)
	return d
}

// prepare makes the folders and the environment of an instance.
func prepare(t testing.TB, id Identity) *Daemon {
	t.Helper()
	d := &Daemon{t: t, identity: id, account: id.need(t)}
	dir, err := os.MkdirTemp("/tmp", "vml")
	if err != nil {
		t.Fatal(err)
	}
	d.Dir = dir
	d.own(dir)
	d.env = []string{
		"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TERM=dumb",
		"HOME=" + dir, "USER=" + d.account.name, "LOGNAME=" + d.account.name,
		"GORACE=halt_on_error=1 exitcode=66",
		// Without its daemon virsh would start the machine's own.
		"LIBVIRT_AUTOSTART=0",
	}
	if id == Root {
		// Its guests run as another user, who must get through.
		if err := os.Chmod(dir, 0o711); err != nil {
			t.Fatal(err)
		}
		d.args = []string{"--root", dir}
		d.Socket = filepath.Join(dir, "run/libvirt/virtumld-sock")
		d.URI = "uml+unix:///system?socket=" + d.Socket
		d.hadDefaultNetwork()
		return d
	}
	for name, variable := range map[string]string{"run": "XDG_RUNTIME_DIR", "config": "XDG_CONFIG_HOME", "cache": "XDG_CACHE_HOME"} {
		sub := filepath.Join(dir, name)
		if err := os.Mkdir(sub, 0o700); err != nil {
			t.Fatal(err)
		}
		d.own(sub)
		d.env = append(d.env, variable+"="+sub)
	}
	d.Socket = filepath.Join(dir, "run/libvirt/virtumld-sock")
	d.URI = "uml:///session"
	d.hadDefaultNetwork()
	return d
}

// own gives a file to the daemon's user.
func (d *Daemon) own(path string) {
	d.t.Helper()
	if err := os.Lchown(path, d.account.uid, d.account.gid); err != nil {
		d.t.Fatal(err)
	}
}

// Start starts the daemon again after Kill or Stop and returns when it is
// ready.
func (d *Daemon) Start() {
	d.t.Helper()
	notify, path := d.listenForReady()
	log, err := os.OpenFile(d.log(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		d.t.Fatal(err)
	}
	defer log.Close()

	cmd := exec.Command(binary(d.t), d.args...)
	cmd.Env = append(d.env, "NOTIFY_SOCKET="+path)
	cmd.Dir = d.Dir
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: d.account.credential()}
	if err := cmd.Start(); err != nil {
		notify.Close()
		d.t.Fatal(err)
	}
	d.cmd, d.PID, d.exited = cmd, cmd.Process.Pid, make(chan struct{})
	go func() {
		defer close(d.exited)
		cmd.Wait()
		notify.Close() // ends waitReady, too, when the daemon has failed
	}()
	d.waitReady(notify)
}

// listenForReady makes the socket on which a service tells systemd that it is
// ready (sd_notify(3)).
func (d *Daemon) listenForReady() (*net.UnixConn, string) {
	d.t.Helper()
	path := filepath.Join(d.Dir, "notify")
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		d.t.Fatal(err)
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		d.t.Fatal(err)
	}
	d.own(path)
	return conn, path
}

func (d *Daemon) waitReady(notify *net.UnixConn) {
	d.t.Helper()
	if err := notify.SetReadDeadline(time.Now().Add(Patience)); err != nil {
		d.t.Fatal(err)
	}
	message := make([]byte, 4096)
	for {
		n, err := notify.Read(message)
		if err != nil {
			d.t.Fatalf("virtumld has not become ready: %v\n%s", err, d.Log())
		}
		if strings.Contains(string(message[:n]), "READY=1") {
			return
		}
	}
}

// Kill ends the daemon with SIGKILL and returns when it is gone.
func (d *Daemon) Kill() { d.t.Helper(); d.end(syscall.SIGKILL) }

// Stop ends the daemon with SIGTERM and returns when it is gone.
func (d *Daemon) Stop() { d.t.Helper(); d.end(syscall.SIGTERM) }

func (d *Daemon) end(signal syscall.Signal) {
	d.t.Helper()
	if err := d.cmd.Process.Signal(signal); err != nil && d.Running() {
		d.t.Error("cannot signal virtumld:", err)
	}
	select {
	case <-d.exited:
	case <-time.After(Patience):
		d.t.Errorf("virtumld has not ended on %v", signal)
		d.cmd.Process.Kill()
		<-d.exited
	}
	status, _ := d.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if signal == syscall.SIGTERM && (!status.Exited() || status.ExitStatus() != 0) {
		d.t.Errorf("virtumld ended with %v, want success", d.cmd.ProcessState)
	}
}

// Exited is closed when the daemon's process has ended.
func (d *Daemon) Exited() <-chan struct{} { return d.exited }

// Running reports whether the daemon's process lives.
func (d *Daemon) Running() bool {
	select {
	case <-d.exited:
		return false
	default:
		return true
	}
}

func (d *Daemon) log() string { return filepath.Join(d.Dir, "virtumld.log") }

// Log is what the daemon has logged so far.
func (d *Daemon) Log() string {
	data, _ := os.ReadFile(d.log())
	return string(data)
}

// cleanUp ends the guests and the daemon and fails the test for what should
// not have been left to it.
func (d *Daemon) cleanUp() {
	if !d.Running() {
		d.t.Logf("the daemon has ended before the test: %v", d.cmd.ProcessState)
		d.Start() // for the guests that may still run
	}
	for _, name := range d.Lines("list", "--name") {
		d.t.Errorf("guest %q is still running at the end of the test", name)
		d.Virsh("destroy", name)
	}
	d.endNetworks()
	d.Stop()
	d.checkLogs()
	if d.t.Failed() {
		d.showLogs()
	}
	if err := os.RemoveAll(d.Dir); err != nil {
		d.t.Error(err)
	}
}

// showLogs shows the daemon's log and the guests'.
func (d *Daemon) showLogs() {
	_ = filepath.WalkDir(d.Dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type() == 0 && filepath.Ext(path) == ".log" {
			data, _ := os.ReadFile(path)
			d.t.Logf("%s:\n%s", filepath.Base(path), data)
		}
		return nil
	})
}

// trouble begins the reports of Go's runtime and race detector.
var trouble = regexp.MustCompile(`(?m)^(panic: |fatal error: |WARNING: DATA RACE)`)

// checkLogs looks for panics and data races, the supervisors' too.
func (d *Daemon) checkLogs() {
	err := filepath.WalkDir(d.Dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.Type() != 0 || filepath.Ext(path) != ".log" {
			return err
		}
		data, err := os.ReadFile(path)
		if found := trouble.Find(data); found != nil {
			d.t.Errorf("%s: %q in\n%s", path, found, data)
		}
		return err
	})
	if err != nil {
		d.t.Error(err)
	}
}

// binaryEnv names a virtumld to test instead of one built here.
const binaryEnv = "VIRTUMLD_BINARY"

var built struct {
	sync.Mutex
	path string
}

// binary builds virtumld once, with the race detector.
func binary(t testing.TB) string {
	t.Helper()
	if path := os.Getenv(binaryEnv); path != "" {
		return path
	}
	built.Lock()
	defer built.Unlock()
	if built.path != "" {
		return built.path
	}
	path := filepath.Join(sharedDir(t), "virtumld")
	cmd := exec.Command("go", "build", "-race", "-o", path, "./cmd/virtumld")
	cmd.Dir = Module(t)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cannot build virtumld: %v\n%s", err, out)
	}
	built.path = path
	return path
}
