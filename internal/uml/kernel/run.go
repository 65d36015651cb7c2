package kernel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

const (
	// runTimeout is the limit on each question to a binary.
	runTimeout = 5 * time.Second
	// maxOutput is the most that is read of an answer, in bytes. A
	// --showconfig has about 80 KiB.
	maxOutput = 4 << 20
)

// User is a numeric user and group.
type User struct{ UID, GID int }

// runner runs untrusted programs for their output: nothing in their
// environment, an empty folder to run in, and an end to all they started.
type runner struct {
	dir  string
	user *User
}

func newRunner(user *User) (*runner, error) {
	dir, err := os.MkdirTemp("", "virtumld-probe-")
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // user may be another
		os.Remove(dir)
		return nil, err
	}
	return &runner{dir: dir, user: user}, nil
}

func (r *runner) close() { os.RemoveAll(r.dir) }

// output runs path with an environment and one round of arguments and returns
// its stdout.
func (r *runner) output(ctx context.Context, env []string, path string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, runTimeout)
	defer cancel()
	var stdout, stderr limited
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append([]string{}, env...) // nil would be the daemon's own
	cmd.Dir = r.dir
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if r.user != nil {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(r.user.UID), Gid: uint32(r.user.GID)}
	}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return "", fmt.Errorf("%s gave no answer within %s", args[0], runTimeout)
	case errors.As(err, &exit):
		return "", fmt.Errorf("%s failed (%s): %s", args[0], exit.ProcessState, bytes.TrimSpace(stderr.tail()))
	case err != nil:
		return "", err
	}
	return stdout.String(), nil
}

// limited keeps the first maxOutput bytes and refuses more, which ends the
// program that writes them.
type limited struct{ bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	if l.Len()+len(p) > maxOutput {
		return 0, errors.New("output too long")
	}
	return l.Buffer.Write(p)
}

// tail is enough of the output for an error text.
func (l *limited) tail() []byte {
	b := l.Bytes()
	return b[max(0, len(b)-300):]
}
