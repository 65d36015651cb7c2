package cow

import (
	"context"
	"fmt"
	"os"

	"virtumld/internal/filelock"
)

// RepairOptions allow Repair what only people can decide.
type RepairOptions struct {
	// AcceptLoss makes a file that was cut short whole again although sectors
	// are lost: they read as 0, or as the backing file where the bitmap itself
	// was cut.
	AcceptLoss bool
	// RefreshMtime takes the backing file's present modification time for the
	// right one: its content is what it was, and only the time was changed.
	RefreshMtime bool
}

// Repair mends what it can of cow, open for reading and writing, and reports
// on what is left. backing is as for Verify, and never written. cow is locked
// until it is closed, ErrBusy when somebody else has a lock.
func Repair(ctx context.Context, cow, backing *os.File, o RepairOptions) (*Report, error) {
	if err := lock(cow, filelock.Exclusive); err != nil {
		return nil, fmt.Errorf("cannot repair: %w", err)
	}
	found, err := Verify(cow, backing)
	if err != nil {
		return nil, err
	}
	for _, problem := range found.Problems {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := mend(cow, backing, found.Header, problem, o); err != nil {
			return nil, fmt.Errorf("cannot repair %s: %w", cow.Name(), err)
		}
	}
	return Verify(cow, backing)
}

// mend does what the options allow against one problem.
func mend(cow, backing *os.File, h *Header, problem Problem, o RepairOptions) error {
	switch {
	case problem.Kind == CutShort, problem.Kind == DataLost && o.AcceptLoss:
		if err := cow.Truncate(int64(h.FileSize())); err != nil {
			return err
		}
		return cow.Sync()
	case problem.Kind == BitsBeyondEnd:
		return clearStrayBits(cow, h)
	case problem.Kind == MergeUnfinished, problem.Kind == BackingMtime && o.RefreshMtime:
		return refreshMtime(cow, backing, h)
	default:
		return nil
	}
}

func clearStrayBits(cow *os.File, h *Header) error {
	_, rest, err := strayBits(cow, h)
	if err != nil {
		return err
	}
	if _, err := cow.WriteAt([]byte{rest}, lastBitmapByte(h)); err != nil {
		return err
	}
	return cow.Sync()
}

func refreshMtime(cow, backing *os.File, h *Header) error {
	info, err := backing.Stat()
	if err != nil {
		return err
	}
	mtime, err := headerTime(info)
	if err != nil {
		return err
	}
	return h.rewrite(cow, h.Backing, mtime, nil)
}
