package contain_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"virtumld/internal/supervisor/contain"
	"virtumld/internal/supervisor/process"
)

// TestMain lets the test binary be the second stage.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case contain.InitCommand:
			os.Exit(contain.Init(os.Args[2:]))
		case contain.ChangeCommand:
			os.Exit(contain.ChangeMain())
		}
	}
	os.Exit(m.Run())
}

// A frozen guest's processes all stand still, and all go on afterwards.
func TestFreeze(t *testing.T) {
	t.Parallel()
	p, lines := spawnShell(t, "while :; do echo child; done & while :; do echo parent; done")
	await(t, lines, "parent", "child")
	children, err := process.Children(p.PID)
	if err != nil || len(children) != 1 {
		t.Fatalf("children %v, %v; want one", children, err)
	}
	for range 3 {
		if err := p.Freeze(); err != nil {
			t.Fatal(err)
		}
		for _, pid := range append(children, p.PID) {
			awaitStopped(t, pid, true)
		}
		if err := p.Thaw(); err != nil {
			t.Fatal(err)
		}
		for _, pid := range append(children, p.PID) {
			awaitStopped(t, pid, false)
		}
		await(t, lines, "parent", "child")
	}
	if err := p.Freeze(); err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	status, err := p.Wait(func(use func(map[int]bool)) { use(nil) })
	if err != nil || status.Signal() != syscall.SIGKILL {
		t.Errorf("a frozen guest that was killed: %v, %v", status, err)
	}
	if err := errors.Join(p.Freeze(), p.Thaw()); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("of a guest that has ended: %v", err)
	}
}

// spawnShell runs a script as a guest in namespaces of its own, and returns
// the lines that it prints.
func spawnShell(t *testing.T, script string) (*contain.Process, <-chan string) {
	t.Helper()
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal("no busybox: install the package busybox-static")
	}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer write.Close()
	p, err := contain.NewSpawner().Spawn(&contain.Plan{
		Isolated: true, Root: t.TempDir(), Dir: "/",
		Binds: []contain.Bind{{Host: busybox, Guest: "/busybox", ReadOnly: true}},
		Exec:  "/busybox", Args: []string{"sh", "-c", script},
	}, write, nil)
	var failure *contain.Failure
	if errors.As(err, &failure) && failure.Stage == contain.StageNamespace {
		t.Skip("the host offers no namespaces: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := make(chan string)
	go func() {
		defer close(lines)
		defer read.Close()
		for in := bufio.NewScanner(read); in.Scan(); {
			lines <- in.Text()
		}
	}()
	t.Cleanup(func() {
		_ = p.Kill() // it has ended when the test went well
		p.Close()
		for range lines { // until all that could write has ended
		}
	})
	if err := p.Started(); err != nil {
		t.Fatal(err)
	}
	return p, lines
}

const patience = 30 * time.Second

// await reads until each of the words has come.
func await(t *testing.T, lines <-chan string, words ...string) {
	t.Helper()
	deadline := time.After(patience)
	missing := make(map[string]bool)
	for _, word := range words {
		missing[word] = true
	}
	for len(missing) > 0 {
		select {
		case line, ok := <-lines:
			if !ok {
				t.Fatalf("the guest ended before it said %v", missing)
			}
			delete(missing, line)
		case <-deadline:
			t.Fatalf("the guest does not say %v", missing)
		}
	}
}

// awaitStopped waits for a process to be stopped, or not to be: /proc is all
// that tells who is not its parent.
func awaitStopped(t *testing.T, pid int, want bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(status), "State:\tT (stopped)") == want {
			return
		}
	}
	t.Fatalf("process %d does not become stopped=%t", pid, want)
}
