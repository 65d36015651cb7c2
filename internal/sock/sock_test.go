package sock

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// socketDir is a folder with a path short enough for a socket.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sock")
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

func listen(t *testing.T, path string, mode fs.FileMode) *net.UnixListener {
	t.Helper()
	l, err := Listen(t.Context(), path, mode, KeepGroup)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestListen(t *testing.T) {
	path := filepath.Join(socketDir(t), "s")
	for _, mode := range []fs.FileMode{0o700, 0o770, 0o777} {
		l, err := Listen(t.Context(), path, mode, os.Getgid())
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != mode|fs.ModeSocket {
			t.Errorf("mode %s, want %s", info.Mode(), mode|fs.ModeSocket)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Lstat(path); !os.IsNotExist(err) {
			t.Errorf("after Close the socket is still there: %v", err)
		}
	}
}

// TestListenGroup gives the socket to another group, which only root may.
func TestListenGroup(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may give a file to a group it is not in")
	}
	path := filepath.Join(socketDir(t), "s")
	l, err := Listen(t.Context(), path, 0o770, 4711)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if gid := info.Sys().(*syscall.Stat_t).Gid; gid != 4711 {
		t.Errorf("group %d, want 4711", gid)
	}
}

func TestListenReplacesStaleSocket(t *testing.T) {
	path := filepath.Join(socketDir(t), "s")
	dead := listen(t, path, 0o700)
	dead.SetUnlinkOnClose(false)
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Fatalf("no stale socket to replace: %v", err)
	}
	l := listen(t, path, 0o700)
	defer l.Close()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

func TestListenRefuses(t *testing.T) {
	dir := socketDir(t)
	live := listen(t, filepath.Join(dir, "live"), 0o700)
	defer live.Close()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, want string }{
		{"live", "another process listens there"},
		{"file", "a file that is no socket is in the way"},
		{"none/s", "no such file or directory"},
		{strings.Repeat("x", MaxPath), "a unix socket's at most 107"},
	} {
		l, err := Listen(t.Context(), filepath.Join(dir, tt.name), 0o700, KeepGroup)
		if err == nil {
			l.Close()
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Listen(%.20s) = %v, want %q", tt.name, err, tt.want)
		}
	}
	if _, err := os.Lstat(filepath.Join(dir, "file")); err != nil {
		t.Errorf("the file in the way is gone: %v", err)
	}
}

func TestIsReadOnly(t *testing.T) {
	for _, tt := range []struct {
		name, path   string
		readOnly, ok bool
	}{
		{"virtumld.socket", "/run/libvirt/virtumld-sock", false, true},
		{"virtumld-ro.socket", "/run/libvirt/virtumld-sock-ro", true, true},
		{"LISTEN_FD_3", "/run/libvirt/virtumld-sock", false, true},
		{"LISTEN_FD_4", "/run/libvirt/virtumld-sock-ro", true, true},
		{"virtumld.socket", "/elsewhere/s", false, true},
		{"virtumld.socket", "/run/libvirt/virtumld-sock-ro", true, true},
		{"other.socket", "/run/other", false, false},
	} {
		readOnly, err := isReadOnly(tt.name, tt.path)
		if readOnly != tt.readOnly || (err == nil) != tt.ok {
			t.Errorf("isReadOnly(%q, %q) = %v, %v", tt.name, tt.path, readOnly, err)
		}
	}
}

// TestMain runs Inherit instead of the tests in the process that TestInherit
// starts, and prints what it got.
func TestMain(m *testing.M) {
	if os.Getenv("SOCK_TEST_INHERIT") == "" {
		os.Exit(m.Run())
	}
	sockets, err := Inherit()
	if err != nil {
		fmt.Println("error:", err)
		return
	}
	for _, s := range sockets {
		fmt.Println(filepath.Base(s.Addr().String()), s.ReadOnly)
		s.Close()
	}
	fmt.Println("environment:", os.Getenv("LISTEN_FDS"))
}

func TestInherit(t *testing.T) {
	dir := socketDir(t)
	files := func(names ...string) []*os.File {
		var fs []*os.File
		for _, name := range names {
			l := listen(t, filepath.Join(dir, name), 0o700)
			t.Cleanup(func() { l.Close() })
			f, err := l.File()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { f.Close() })
			fs = append(fs, f)
		}
		return fs
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()

	for _, tt := range []struct {
		name, names string
		files       []*os.File
		want        string
	}{
		{"none", "", nil, "environment: \n"},
		{"both", "virtumld.socket:virtumld-ro.socket", files("a", "b"), "a false\nb true\nenvironment: \n"},
		{"unnamed", "", files("virtumld-sock"), "virtumld-sock false\nenvironment: \n"},
		{"foreign", "cups.socket", files("c"), "error: the service manager passed a socket named \"cups.socket\""},
		{"no socket", "virtumld.socket", []*os.File{null}, "error: the service manager's descriptor virtumld.socket is no listening socket\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			// The shell's pid becomes the test binary's, as LISTEN_PID wants.
			cmd := exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$0"`, os.Args[0])
			cmd.Env = append(os.Environ(), "SOCK_TEST_INHERIT=1",
				fmt.Sprintf("LISTEN_FDS=%d", len(tt.files)), "LISTEN_FDNAMES="+tt.names)
			cmd.ExtraFiles = tt.files
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if !strings.HasPrefix(string(out), tt.want) {
				t.Errorf("got %q, want %q", out, tt.want)
			}
		})
	}
	for _, name := range []string{"a", "b"} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err != nil {
			t.Errorf("closing an inherited socket removed its file: %v", err)
		}
	}
}
