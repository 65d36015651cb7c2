package process

import (
	"errors"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func sleeper(t *testing.T) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sleep", "1000")
	cmd.Dir = t.TempDir()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return cmd
}

func TestKillSparesTheNextOwnerOfAPID(t *testing.T) {
	cmd := sleeper(t)
	id, err := Of(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	other := ID{PID: id.PID, Start: id.Start - 1}
	if err := other.Kill(time.Second); err != nil {
		t.Errorf("Kill of a process that is gone: %v", err)
	}
	if _, err := other.Open(); !errors.Is(err, unix.ESRCH) {
		t.Errorf("Open of a process that is gone: %v", err)
	}
	if now, err := Of(id.PID); err != nil || now != id {
		t.Errorf("the other process: %v, %v", now, err)
	}
	if err := id.Kill(10 * time.Second); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("it was not killed")
	}
	if err := (ID{}).Kill(time.Second); err != nil {
		t.Errorf("Kill of nobody: %v", err)
	}
}

func TestFind(t *testing.T) {
	cmd := sleeper(t)
	children, err := Children(os.Getpid())
	if err != nil || !slices.Contains(children, cmd.Process.Pid) {
		t.Errorf("children %v, %v", children, err)
	}
	in, err := In(cmd.Dir)
	if err != nil || !slices.Equal(in, []int{cmd.Process.Pid}) {
		t.Errorf("in its folder %v, %v", in, err)
	}
	if _, err := In(cmd.Dir + "/absent"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("in a missing folder: %v", err)
	}
}

func TestParseStat(t *testing.T) {
	text := "42 (a b) c) S 7 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 123456 0 0"
	got, err := parseStat([]byte(text))
	if err != nil || got != (stat{parent: 7, start: 123456}) {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, bad := range []string{"", "42", "42 (x) S 7", "42 (x) S x 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 9"} {
		if _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("42 (a b) c) S 7 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 123456 0 0"))
	f.Fuzz(func(t *testing.T, text []byte) { _, _ = parseStat(text) })
}

func TestAwaitEnd(t *testing.T) {
	cmd := sleeper(t)
	fd, err := unix.PidfdOpen(cmd.Process.Pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	pidfd := os.NewFile(uintptr(fd), "pidfd")
	defer pidfd.Close()
	if err := pidfd.SetReadDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := AwaitEnd(pidfd); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a process that runs: %v, want no end", err)
	}
	if err := pidfd.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := AwaitEnd(pidfd); err != nil {
		t.Errorf("a process that has ended: %v", err)
	}
}
