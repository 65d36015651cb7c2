package testkit

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Result is how a client ended.
type Result struct {
	// Stdout and Stderr are without the blank lines that virsh ends with.
	Stdout, Stderr string
	// Code is the exit code, 0 for success.
	Code int
}

// Virsh runs virsh against the daemon, as the daemon's user.
func (d *Daemon) Virsh(args ...string) Result {
	d.t.Helper()
	return d.Run("virsh", append([]string{"--connect", d.URI}, args...)...)
}

// Run runs a program as the daemon's user and with its environment.
func (d *Daemon) Run(name string, args ...string) Result {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	cmd := d.command(ctx, name, args...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if ctx.Err() != nil {
		d.t.Fatalf("%s %q has not ended in %v", name, args, Patience)
	}
	if err != nil && !errors.As(err, &exit) {
		d.t.Fatalf("%s %q: %v", name, args, err)
	}
	return Result{
		Stdout: strings.TrimRight(stdout.String(), "\n"),
		Stderr: strings.TrimRight(stderr.String(), "\n"),
		Code:   cmd.ProcessState.ExitCode(),
	}
}

// OK runs virsh, fails the test when virsh fails, and returns what it printed.
func (d *Daemon) OK(args ...string) string {
	d.t.Helper()
	r := d.Virsh(args...)
	if r.Code != 0 {
		d.t.Fatalf("virsh %q failed (%d):\n%s%s", args, r.Code, r.Stdout, r.Stderr)
	}
	return r.Stdout
}

// Lines is OK, split into the lines that hold something.
func (d *Daemon) Lines(args ...string) []string {
	d.t.Helper()
	var lines []string
	for line := range strings.Lines(d.OK(args...)) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// Refused runs virsh, which must fail with want in its error's text.
func (d *Daemon) Refused(want string, args ...string) {
	d.t.Helper()
	r := d.Virsh(args...)
	if r.Code == 0 {
		d.t.Errorf("virsh %q succeeded, want a refusal with %q:\n%s", args, want, r.Stdout)
		return
	}
	if !strings.Contains(r.Stderr, want) {
		d.t.Errorf("virsh %q: the error is\n%s\nwant it to say %q", args, r.Stderr, want)
	}
}

// command makes a command that runs as the daemon's user and with its
// environment.
func (d *Daemon) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env, cmd.Dir = d.env, d.Dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: d.account.credential()}
	cmd.WaitDelay = time.Second
	return cmd
}

// SetEnv sets a variable for the virsh processes to come.
func (d *Daemon) SetEnv(name, value string) { d.env = append(d.env, name+"="+value) }

// File writes a file into the daemon's folder, owned by its user, and returns
// its path.
func (d *Daemon) File(name, content string) string {
	d.t.Helper()
	path := filepath.Join(d.Dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		d.t.Fatal(err)
	}
	d.own(path)
	return path
}

// Define defines the domain of an XML document.
func (d *Daemon) Define(document string) {
	d.t.Helper()
	d.OK("define", d.File("define.xml", document))
}
