package cow

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"virtumld/internal/filelock"
)

// Merge writes the sectors that cow holds down into its backing file and
// empties cow, as uml_moo -d does; both are open for reading and writing.
// Other COW files over the same backing file are worthless afterwards, and
// kernels refuse them. It locks both until they are closed; the error is
// ErrBusy when somebody else has a lock, ErrMismatch or ErrDamaged when the
// files do not belong together.
//
// A COW file that is merged in part reads as before, so nothing is lost
// whenever it stops: after an error the pair is left valid, after a crash
// Merge can be repeated. progress, which may be nil, hears of bytes.
func Merge(ctx context.Context, cow, backing *os.File, progress func(done, total int64)) error {
	for _, f := range []*os.File{cow, backing} {
		if err := lock(f, filelock.Exclusive); err != nil {
			return fmt.Errorf("cannot merge: %w", err)
		}
	}
	p, err := newPair(cow, backing)
	if err != nil {
		return fmt.Errorf("cannot merge: %w", err)
	}
	if err := p.merge(ctx, progress); err != nil {
		return fmt.Errorf("cannot merge %s into %s: %w", cow.Name(), backing.Name(), err)
	}
	return nil
}

func (p *pair) merge(ctx context.Context, progress func(done, total int64)) error {
	sectors, err := newScanner(p.cow, p.header).count(0)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if info, err := p.backing.Stat(); err != nil || sectors == 0 && Check(p.header, info) == nil {
		return err
	}
	if err := p.mark(); err != nil {
		return err
	}
	err = p.copyHeld(ctx, p.backing, counter(progress, sectors*sectorSize))
	// From here on the pair is whole again, whether all was copied or not.
	if settleErr := p.settle(); err != nil || settleErr != nil {
		return errors.Join(err, settleErr)
	}
	return p.empty()
}

// mark notes in the header that the backing file is about to change, so that
// its changed time is not held against it after a crash.
func (p *pair) mark() error {
	info, err := p.backing.Stat()
	if err != nil {
		return err
	}
	mark, err := p.header.newMark(info)
	if err != nil {
		return err
	}
	return p.header.rewrite(p.cow, p.header.Backing, p.header.BackingMtime, mark)
}

// settle makes the pair valid over the backing file as it is now. The backing
// file's data is on the disk before the header says so.
func (p *pair) settle() error {
	info, err := p.backing.Stat()
	if err != nil {
		return err
	}
	mtime, err := headerTime(info)
	if err != nil {
		return err
	}
	if mtime == p.header.BackingMtime {
		// Within the same second; other COW files over it must be refused.
		mtime++
		if err := setMtime(p.backing, time.Unix(int64(mtime), 0)); err != nil {
			return err
		}
	}
	if err := p.backing.Sync(); err != nil {
		return err
	}
	return p.header.rewrite(p.cow, p.header.Backing, mtime, nil)
}

func setMtime(f *os.File, mtime time.Time) error {
	return withFd(f, func(fd int) error {
		return unix.Futimes(fd, []unix.Timeval{
			unix.NsecToTimeval(time.Now().UnixNano()),
			unix.NsecToTimeval(mtime.UnixNano()),
		})
	})
}

// empty drops the sectors that are in the backing file now: first the bits,
// and once those are on the disk the data, which gives its space back.
func (p *pair) empty() error {
	h := p.header
	ctx := context.Background() // a moment's work, and not to be left half done
	if err := clearRange(ctx, p.cow, int64(h.BitmapOffset()), int64(h.BitmapLength())); err != nil {
		return err
	}
	if err := p.cow.Sync(); err != nil {
		return err
	}
	err := punch(p.cow, int64(h.DataOffset()), int64(h.BackingSize))
	if err != nil && cannotShare(err) {
		return nil // the space stays taken, and nothing reads it
	}
	return err
}

// copyHeld writes the sectors that the COW file holds to their places in dst.
// What a guest has written behind the backing file's end, where the disk is
// rounded up to whole sectors, is left.
func (p *pair) copyHeld(ctx context.Context, dst *os.File, told func(int64)) error {
	bitmap, shift, size := newScanner(p.cow, p.header), int64(p.header.DataOffset()), int64(p.header.BackingSize)
	for sector := int64(0); sector < bitmap.sectors; {
		if err := ctx.Err(); err != nil {
			return err
		}
		held, end, err := bitmap.run(sector)
		if err != nil {
			return err
		}
		if held {
			from := sector * sectorSize
			if err := copyExtent(ctx, dst, from, p.cow, from+shift, min(end*sectorSize, size)-from, told); err != nil {
				return err
			}
		}
		sector = end
	}
	return nil
}

// counter adds up bytes for progress, which may be nil.
func counter(progress func(done, total int64), total int64) func(int64) {
	if progress == nil {
		return func(int64) {}
	}
	var done int64
	return func(n int64) {
		if n > 0 {
			done += n
			progress(min(done, total), total)
		}
	}
}
