package cow

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// CopyTo writes the whole disk to out, a regular file open for writing, whose
// content it replaces, as a raw image that stands alone. Holes stay holes, and blocks are shared where the
// filesystem can. progress, which may be nil, hears of bytes. The copy is
// durable on return; after an error out is incomplete.
func (r *Reader) CopyTo(ctx context.Context, out *os.File, progress func(done, total int64)) error {
	if err := r.copyTo(ctx, out, progress); err != nil {
		return fmt.Errorf("cannot copy %s to %s: %w", r.cow.Name(), out.Name(), err)
	}
	return nil
}

func (r *Reader) copyTo(ctx context.Context, out *os.File, progress func(done, total int64)) error {
	if err := r.notOurs(out); err != nil {
		return err
	}
	if err := out.Truncate(0); err != nil {
		return err
	}
	told := counter(progress, r.Size())
	switch err := Reflink(out, r.backing); {
	case err == nil:
		if err := r.copyHeld(ctx, out, told); err != nil {
			return err
		}
	case !errors.Is(err, errors.ErrUnsupported):
		return err
	default:
		if err := r.copyAll(ctx, out, told); err != nil {
			return err
		}
	}
	if progress != nil {
		progress(r.Size(), r.Size())
	}
	return out.Sync()
}

// notOurs keeps CopyTo from emptying the files that it reads.
func (r *Reader) notOurs(out *os.File) error {
	info, err := out.Stat()
	if err != nil {
		return err
	}
	cow, backing, err := r.stat()
	if err != nil {
		return err
	}
	if os.SameFile(info, cow) || os.SameFile(info, backing) {
		return errors.New("it is one of the files to be read")
	}
	return nil
}

// copyAll copies each run of the bitmap from the file that holds it into out,
// which is empty.
func (r *Reader) copyAll(ctx context.Context, out *os.File, told func(int64)) error {
	if err := out.Truncate(r.Size()); err != nil {
		return err
	}
	bitmap := newScanner(r.cow, r.header)
	for sector := int64(0); sector < bitmap.sectors; {
		if err := ctx.Err(); err != nil {
			return err
		}
		held, end, err := bitmap.run(sector)
		if err != nil {
			return err
		}
		file, shift := r.holder(held)
		from := sector * sectorSize
		if err := copyExtent(ctx, out, from, file, from+shift, min(end*sectorSize, r.Size())-from, told); err != nil {
			return err
		}
		sector = end
	}
	return nil
}
