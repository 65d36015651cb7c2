package contain

import (
	"fmt"
	"os"
	"slices"

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

// Spare calls use with the pids of the caller's children that belong to no
// guest, and lets none start meanwhile.
type Spare func(use func(pids map[int]bool))

// endChildren kills and reaps every child of the calling process until there
// is none but those to spare. A new one can only come when one that was killed
// dies and leaves its own, and that death ends the wait, so each round sees all
// there are.
func endChildren(spare Spare) error {
	for {
		pids, err := strays(spare)
		if err != nil {
			return err
		}
		if len(pids) == 0 {
			return nil
		}
		for _, pid := range pids {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		for _, pid := range pids {
			if err := reap(pid); err != nil {
				return err
			}
		}
	}
}

// strays are the children of the calling process but for those to spare.
func strays(spare Spare) (pids []int, err error) {
	spare(func(spared map[int]bool) {
		pids, err = process.Children(os.Getpid())
		pids = slices.DeleteFunc(pids, func(pid int) bool { return spared[pid] })
	})
	return pids, err
}

// reap waits for a child that was killed. One that is gone was a child to
// spare that has just ended.
func reap(pid int) error {
	for {
		_, err := unix.Wait4(pid, nil, 0, nil)
		switch err {
		case nil, unix.ECHILD:
			return nil
		case unix.EINTR:
		default:
			return fmt.Errorf("cannot reap the guest's processes: %w", err)
		}
	}
}
