package contain

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"virtumld/internal/supervisor/process"
)

// Subreap makes the calling process the parent of every orphan below it, so
// that nothing of a guest without a pid namespace escapes it.
func Subreap() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot become a subreaper: %w", err)
	}
	return nil
}

// endChildren kills and reaps every child of the calling process until there
// is none. A new one can only come when one that was killed dies and leaves
// its own, and that death ends the wait, so each round sees all there are.
func endChildren() error {
	self := os.Getpid()
	for {
		pids, err := process.Children(self)
		if err != nil {
			return err
		}
		for _, pid := range pids {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		_, err = unix.Wait4(-1, nil, 0, nil)
		switch err {
		case nil, unix.EINTR:
		case unix.ECHILD:
			return nil
		default:
			return fmt.Errorf("cannot reap the guest's processes: %w", err)
		}
	}
}
