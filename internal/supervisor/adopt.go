package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"virtumld/internal/domxml"
	"virtumld/internal/rundir"
	"virtumld/internal/supervisor/console"
	"virtumld/internal/supervisor/dac"
	"virtumld/internal/supervisor/nic"
	"virtumld/internal/supervisor/process"
)

// Adopt connects to the supervisor of dir. When it has ended, Adopt returns
// its exit record instead; when it died without one, or does not answer, an
// Exit of cause failed, with everything it held cleaned up. The record stays
// until Forget. A folder that is not there is an error that is fs.ErrNotExist;
// at the end of ctx nothing is touched.
func Adopt(ctx context.Context, dir string) (*Handle, *Exit, error) {
	if _, err := os.Stat(dir); err != nil {
		return nil, nil, fmt.Errorf("cannot adopt the guest: %w", err)
	}
	hello, cancel := context.WithTimeout(ctx, helloTime)
	defer cancel()
	conn, facts, exit, err := connect(hello, dir)
	var refusal *refusedError
	switch {
	case err == nil && exit == nil:
		return newHandle(dir, conn, facts), nil, nil
	case exit != nil:
		return nil, exit, nil
	case errors.As(err, &refusal):
		// Nobody was there to hear of it.
		return nil, &Exit{Cause: causeFailed, Text: refusal.Error()}, nil
	case ctx.Err() != nil:
		return nil, nil, err
	case errors.Is(err, errNoGuest), hello.Err() != nil:
		return nil, conclude(dir), nil
	default:
		return nil, nil, err
	}
}

// conclude returns the record of a guest whose supervisor is gone. Without one
// it died before its guest: whatever is left is cleaned up and the record
// written in its place.
func conclude(dir string) *Exit {
	exit := &Exit{}
	if err := rundir.ReadJSON(dir, exitFile, exit); err == nil {
		return exit
	}
	exit = &Exit{Cause: causeFailed, Text: "the guest's supervisor has died, and the guest with it"}
	if said, err := os.ReadFile(filepath.Join(dir, stderrFile)); err == nil && len(said) > 0 {
		exit.Text = joinWords(exit.Text, lastWords(said, nil))
	}
	if err := cleanUp(dir); err != nil {
		exit.Text = fmt.Sprintf("%s; cleaning up after it: %v", exit.Text, err)
	}
	// Without the record the next daemon would find the same out again.
	_ = rundir.WriteJSON(dir, exitFile, exit)
	return exit
}

// cleanUpTime is how long a process may take to die of SIGKILL.
const cleanUpTime = 10 * time.Second

// cleanUp gives back all that a supervisor which was killed held: what the
// host's kernel does not by itself.
func cleanUp(dir string) error {
	spec := &Spec{}
	if err := rundir.ReadJSON(dir, specFile, spec); err != nil {
		return err
	}
	var left state
	_ = rundir.ReadJSON(dir, stateFile, &left) // it may have died before it wrote one
	failures := []error{
		left.Supervisor.Kill(cleanUpTime),
		left.Guest.Kill(cleanUpTime),
		killPlain(spec.uml()),
	}
	if spec.User != nil {
		failures = append(failures, dac.Open(spec.Owners).Return(spec.Dir))
	}
	if entry := filepath.Join(spec.UMLDir, spec.UMID); !alive(entry) {
		failures = append(failures, os.RemoveAll(entry))
	}
	for _, i := range spec.Interfaces {
		failures = append(failures, nic.CleanUp(&i))
	}
	for _, channel := range spec.Channels {
		if channel.Type == domxml.ChardevUnix {
			failures = append(failures, console.RemoveDeadSocket(channel.Path))
		}
	}
	return errors.Join(failures...)
}

// killPlain kills what a guest without namespaces leaves: on kernels before
// 6.13 only the main process dies with the supervisor. They have the guest's
// uml_dir as working folder, as nothing else has.
func killPlain(dir string) error {
	for {
		pids, err := process.In(dir)
		if err != nil || len(pids) == 0 {
			return ignoreMissing(err)
		}
		for _, pid := range pids {
			id, err := process.Of(pid)
			if err != nil {
				continue
			}
			if err := id.Kill(cleanUpTime); err != nil {
				return err
			}
		}
	}
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
