package bench

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"virtumld/internal/testkit"
)

// nobody is the user of a libvirtd that root starts: one of root's would use
// the machine's own folders.
const nobody = 65534

// startLibvirtd runs a libvirtd with a socket and folders of its own and
// returns the socket's path.
func startLibvirtd(b *testing.B) string {
	b.Helper()
	path, err := exec.LookPath("/usr/sbin/libvirtd")
	if err != nil {
		b.Fatalf("the package libvirt-daemon is missing: %v", err)
	}
	dir := libvirtdFolder(b)
	config := filepath.Join(dir, "libvirtd.conf")
	must(b, os.WriteFile(config, []byte("auth_unix_rw = \"none\"\nmax_clients = 50\n"), 0o644))

	cmd := exec.Command(path, "--config", config)
	cmd.Dir = dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "HOME=" + dir,
		"XDG_RUNTIME_DIR=" + dir, "XDG_CONFIG_HOME=" + dir + "/config", "XDG_CACHE_HOME=" + dir + "/cache",
	}
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	var said bytes.Buffer
	cmd.Stderr = &said
	ready := notifySocket(b, filepath.Join(dir, "notify"))
	cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+ready.LocalAddr().String())
	must(b, cmd.Start())
	b.Cleanup(func() {
		if err := errors.Join(cmd.Process.Kill(), expectKilled(cmd.Wait())); err != nil {
			b.Error(err)
		}
	})
	if _, err := ready.Read(make([]byte, 4096)); err != nil {
		b.Fatalf("libvirtd has not become ready: %v\n%s", err, &said)
	}
	return filepath.Join(dir, "libvirt", "libvirt-sock")
}

func expectKilled(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil
	}
	return fmt.Errorf("libvirtd ended by itself: %w", err)
}

// libvirtdFolder is a folder with a path short enough for sockets.
func libvirtdFolder(b *testing.B) string {
	b.Helper()
	dir, err := os.MkdirTemp("/tmp", "lvd")
	must(b, err)
	b.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			b.Error(err)
		}
	})
	must(b, os.Mkdir(filepath.Join(dir, "libvirt"), 0o700))
	if os.Geteuid() != 0 {
		return dir
	}
	must(b, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Chown(path, nobody, nobody))
	}))
	return dir
}

// notifySocket is where a service says that it is ready (sd_notify(3)).
func notifySocket(b *testing.B, path string) *net.UnixConn {
	b.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	must(b, err)
	b.Cleanup(func() { conn.Close() })
	must(b, os.Chmod(path, 0o666))
	must(b, conn.SetReadDeadline(time.Now().Add(testkit.Patience)))
	return conn
}
