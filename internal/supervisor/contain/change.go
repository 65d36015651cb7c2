package contain

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"
)

// ChangeCommand is the argument that makes the binary run ChangeMain.
const ChangeCommand = "guest-files"

// Changes are what is to become of the files in a running guest's root.
type Changes struct {
	// Add are files that the guest is to have, Remove the guest's paths of
	// those that it is to have no more.
	Add    []Bind
	Remove []string
}

// The descriptors that a process which runs ChangeMain inherits.
const (
	mountsFD = 3 // the guest's mount namespace
	binaryFD = 4 // the running binary
	usersFD  = 5 // the guest's user namespace, where it has its own
)

// Change gives files to a guest that runs in namespaces, or takes them away. A
// failure of Add is a *Failure, and nothing was added then.
//
// A process enters the guest's namespaces for it: of a user namespace this
// takes one without threads, which nsenter(1) is and no Go program.
func (p *Process) Change(ctx context.Context, changes Changes) error {
	plan, err := json.Marshal(changes)
	if err != nil {
		return err
	}
	files, err := p.namespaces()
	if err != nil {
		return err
	}
	defer closeAll(files)
	var out, complaint bytes.Buffer
	cmd := changer(ctx, len(files) == 3)
	cmd.ExtraFiles = files
	cmd.Env = []string{"GOMAXPROCS=1"}
	cmd.Dir = "/"
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(plan), &out, &complaint
	err = cmd.Run()
	var answer progress
	if json.Unmarshal(out.Bytes(), &answer) == nil && answer.Failure != nil {
		return answer.Failure
	}
	if err != nil {
		return fmt.Errorf("cannot change the files of the running guest: %w: %s", err, strings.TrimSpace(complaint.String()))
	}
	return nil
}

// changer is the command for ChangeMain, in the guest's user namespace when it
// has one.
func changer(ctx context.Context, users bool) *exec.Cmd {
	binary := fmt.Sprintf("/proc/self/fd/%d", binaryFD)
	if !users {
		return exec.CommandContext(ctx, binary, ChangeCommand)
	}
	return exec.CommandContext(ctx, "nsenter", fmt.Sprintf("--user=/proc/self/fd/%d", usersFD),
		"--preserve-credentials", "--", binary, ChangeCommand)
}

// namespaces opens what ChangeMain inherits. The pid is the guest's while it
// has not been waited for.
func (p *Process) namespaces() ([]*os.File, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pidfd < 0 {
		return nil, os.ErrProcessDone
	}
	names := []string{fmt.Sprintf("/proc/%d/ns/mnt", p.PID), "/proc/self/exe"}
	if os.Geteuid() != 0 { // as in sysProcAttr
		names = append(names, fmt.Sprintf("/proc/%d/ns/user", p.PID))
	}
	var files []*os.File
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			closeAll(files)
			return nil, fmt.Errorf("cannot reach the guest's namespaces: %w", err)
		}
		files = append(files, f)
	}
	return files, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// ChangeMain carries out Changes, which it reads from its standard input, and
// returns the process's exit status.
func ChangeMain() int {
	unix.CloseOnExec(mountsFD)
	var changes Changes
	if err := json.NewDecoder(os.Stdin).Decode(&changes); err != nil {
		fmt.Fprintln(os.Stderr, "virtumld:", ChangeCommand, "is run by a supervisor only:", err)
		return 2
	}
	err := changes.apply()
	if err == nil {
		return 0
	}
	var failure *Failure
	if !errors.As(err, &failure) {
		failure = &Failure{Stage: StageSetup, Op: err.Error()}
	}
	_ = json.NewEncoder(os.Stdout).Encode(progress{Failure: failure}) // its reader may be gone
	return 1
}
