package store

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// childEnv names what this binary does when a test runs it as a child.
const childEnv = "STORE_TEST_CHILD"

func TestMain(m *testing.M) {
	switch os.Getenv(childEnv) {
	case "":
		os.Exit(m.Run())
	case "save-limited":
		os.Exit(saveLimited())
	case "save-unprivileged":
		os.Exit(saveUnprivileged())
	case "save-forever":
		os.Exit(saveForever())
	}
	os.Exit(3)
}

func child(t *testing.T, what string, s *Store) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	must(t, err)
	c := exec.CommandContext(t.Context(), exe, s.config.path, s.state.path)
	c.Env = append(os.Environ(), childEnv+"="+what)
	return c
}

// saveLimited saves one definition in a process whose files may not grow past
// 1 KiB, as on a disk that has that much room.
func saveLimited() int {
	limit := unix.Rlimit{Cur: 1024, Max: 1024}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		return 3
	}
	s, err := Open(os.Args[1], os.Args[2])
	if err != nil {
		return 3
	}
	err = s.SaveConfig("vm", document("vm", strings.Repeat("new", 1000)))
	if !errors.Is(err, syscall.EFBIG) {
		return 4
	}
	return 0
}

// A write that the disk refuses half-way leaves the old definition and no
// temporary file.
func TestNoRoom(t *testing.T) {
	s := open(t)
	save(t, s, "vm", "old")
	if out, err := child(t, "save-limited", s).CombinedOutput(); err != nil {
		t.Fatalf("child: %v\n%s", err, out)
	}
	if got := title(t, s, "vm"); got != "old" {
		t.Errorf("content %.20q, want old", got)
	}
	checkNoTemp(t, s.config.path)
}

// saveUnprivileged saves one definition without any capability, so that root
// is bound by permissions too.
func saveUnprivileged() int {
	runtime.LockOSThread() // capabilities are a thread's
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err := unix.Capset(&header, &make([]unix.CapUserData, 2)[0]); err != nil {
		return 3
	}
	s, err := Open(os.Args[1], os.Args[2])
	if err != nil {
		return 3
	}
	if err := s.SaveConfig("vm", document("vm", "new")); !errors.Is(err, os.ErrPermission) {
		return 4
	}
	return 0
}

// A folder that may not be written leaves the old definition.
func TestNoPermission(t *testing.T) {
	s := open(t)
	save(t, s, "vm", "old")
	must(t, os.Chmod(s.config.path, 0o500))
	t.Cleanup(func() { os.Chmod(s.config.path, 0o700) })
	if out, err := child(t, "save-unprivileged", s).CombinedOutput(); err != nil {
		t.Fatalf("child: %v\n%s", err, out)
	}
	if got := title(t, s, "vm"); got != "old" {
		t.Errorf("content %q, want old", got)
	}
}

// On a filesystem that is full, and on one that has become read-only, the old
// definition and status stay.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("store-test", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("needs root to mount a small tmpfs: %v", err)
	}
	t.Cleanup(func() { must(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	s, err := Open(filepath.Join(dir, "config"), filepath.Join(dir, "state"))
	must(t, err)
	t.Cleanup(func() { s.Close() })
	save(t, s, "vm", "old")
	must(t, s.SaveStatus(sample))

	large := strings.Repeat("x", 100<<10)
	bigger := sample
	bigger.Document = "<domain>" + large + "</domain>"
	if err := s.SaveConfig("vm", document("vm", large)); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("SaveConfig: error %v, want ENOSPC", err)
	}
	if err := s.SaveStatus(bigger); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("SaveStatus: error %v, want ENOSPC", err)
	}
	must(t, unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	if err := s.SaveConfig("vm", document("vm", "new")); !errors.Is(err, syscall.EROFS) {
		t.Errorf("SaveConfig: error %v, want EROFS", err)
	}

	if got := title(t, s, "vm"); got != "old" {
		t.Errorf("content %.20q, want old", got)
	}
	statuses, problems, err := s.LoadStatuses(t.Context())
	if err != nil || len(problems) != 0 || len(statuses) != 1 || statuses[0] != sample {
		t.Errorf("status: %+v, %v, %v; want the old one", statuses, problems, err)
	}
	checkNoTemp(t, s.config.path)
	checkNoTemp(t, s.state.path)
}

// saveForever saves the titles "a…" and "b…" in turn, long enough that a write
// takes a while, until it is killed.
func saveForever() int {
	s, err := Open(os.Args[1], os.Args[2])
	if err != nil {
		return 3
	}
	for {
		for _, letter := range []string{"a", "b"} {
			// One uuid for both: document derives it from the title.
			text := document("vm", "x")
			text = strings.Replace(text, "<title>x", "<title>"+strings.Repeat(letter, 64<<10), 1)
			if err := s.SaveConfig("vm", text); err != nil {
				return 4
			}
			if _, err := os.Stdout.WriteString("."); err != nil {
				return 0
			}
		}
	}
}

// A daemon killed at any moment leaves a whole definition: the one before or
// the one after.
func TestKilledWhileSaving(t *testing.T) {
	s := open(t)
	save(t, s, "vm", "first")
	for round := range 25 {
		c := child(t, "save-forever", s)
		out, err := c.StdoutPipe()
		must(t, err)
		must(t, c.Start())
		// A different number of saves each time, then the next one is cut.
		if _, err := out.Read(make([]byte, 1)); err != nil {
			t.Fatal("the child saved nothing:", err)
		}
		for range round {
			if _, err := out.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
		}
		must(t, c.Process.Kill())
		c.Wait()

		got := title(t, reopen(t, s), "vm")
		whole := len(got) == 64<<10 && (bytes.Count([]byte(got), []byte("a")) == len(got) ||
			bytes.Count([]byte(got), []byte("b")) == len(got))
		if !whole {
			t.Fatalf("round %d: a torn definition of %d bytes: %.40q", round, len(got), got)
		}
		checkNoTemp(t, s.config.path)
	}
}
