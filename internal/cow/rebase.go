package cow

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"virtumld/internal/filelock"
)

// Rebase puts cow, open for reading and writing, over the backing file to.
// The disk's content stays the same: sectors that differ between the old
// backing file and the new one are copied to cow. Without an old one, nil, the
// header alone is changed: for a backing file that was moved or copied and
// holds the same content. Both backing files are open for reading and have the
// same size, which the format cannot change. path is what the header will say,
// absolute. All files are locked until they are closed.
//
// The errors are those of Merge; when it stops early, the COW file still reads
// the same over its old backing file, and Rebase can be repeated. progress,
// which may be nil, hears of bytes of the disk that were compared.
func Rebase(ctx context.Context, cow, old, to *os.File, path string, progress func(done, total int64)) error {
	if err := lockForRebase(cow, old, to); err != nil {
		return fmt.Errorf("cannot rebase: %w", err)
	}
	header, err := ReadHeader(cow)
	if err != nil {
		return fmt.Errorf("cannot rebase: %s: %w", cow.Name(), err)
	}
	p := &pair{cow, old, header}
	if err := p.rebase(ctx, to, path, progress); err != nil {
		return fmt.Errorf("cannot rebase %s to %s: %w", cow.Name(), path, err)
	}
	return nil
}

func lockForRebase(cow, old, to *os.File) error {
	if err := lock(cow, filelock.Exclusive); err != nil {
		return err
	}
	if old != nil {
		if err := lock(old, filelock.Shared); err != nil {
			return err
		}
	}
	return lock(to, filelock.Shared)
}

func (p *pair) rebase(ctx context.Context, to *os.File, path string, progress func(done, total int64)) error {
	info, mtime, err := p.newBacking(to, path)
	if err != nil {
		return err
	}
	if p.backing != nil {
		if err := p.check(); err != nil {
			return err
		}
		d := differ{pair: p, to: to, told: counter(progress, int64(p.header.BackingSize))}
		if err := d.run(ctx); err != nil {
			return err
		}
		if err := unchanged(to, info); err != nil {
			return err
		}
	}
	return p.header.rewrite(p.cow, path, mtime, nil)
}

// newBacking looks whether the new backing file will do.
func (p *pair) newBacking(to *os.File, path string) (fs.FileInfo, uint32, error) {
	_, length := p.header.pathField()
	if err := checkPath(path, length); err != nil {
		return nil, 0, err
	}
	cow, err := p.cow.Stat()
	if err != nil {
		return nil, 0, err
	}
	if err := checkLayout(p.header, cow); err != nil {
		return nil, 0, err
	}
	info, err := to.Stat()
	if err != nil {
		return nil, 0, err
	}
	if err := checkBacking(to, info, cow); err != nil {
		return nil, 0, err
	}
	if uint64(info.Size()) != p.header.BackingSize {
		return nil, 0, fmt.Errorf("%w: the new one has %d bytes, but the copy-on-write file is for %d, which cannot be changed",
			ErrMismatch, info.Size(), p.header.BackingSize)
	}
	mtime, err := headerTime(info)
	return info, mtime, err
}

func unchanged(f *os.File, then fs.FileInfo) error {
	now, err := f.Stat()
	if err != nil {
		return err
	}
	if now.Size() != then.Size() || !now.ModTime().Equal(then.ModTime()) {
		return fmt.Errorf("%w: the new backing file was changed meanwhile", ErrMismatch)
	}
	return nil
}

// differ copies to the COW file those of the old backing file's sectors that
// it does not hold and that the new backing file has with another content.
type differ struct {
	*pair
	to   *os.File
	told func(int64)

	bitmap  []byte // of the present window
	changed bool
	a, b    [compareStep]byte
}

const (
	// compareWindow is the part of the disk whose bits are written at once.
	compareWindow = 16 << 20
	compareStep   = 256 << 10
)

func (d *differ) run(ctx context.Context) error {
	size := int64(d.header.BackingSize)
	for at := int64(0); at < size; {
		data, err := d.nextData(at, size)
		if err != nil {
			return err
		}
		begin := max(at, data/compareWindow*compareWindow)
		d.told(begin - at)
		if data == size {
			d.told(size - begin)
			break
		}
		end := min(begin+compareWindow, size)
		if err := d.window(ctx, begin, end); err != nil {
			return err
		}
		d.told(end - begin)
		at = end
	}
	return nil
}

// nextData is the first byte that one of the backing files holds as data.
func (d *differ) nextData(off, end int64) (int64, error) {
	a, err := nextData(d.backing, off, end)
	if err != nil {
		return 0, err
	}
	b, err := nextData(d.to, off, end)
	return min(a, b), err
}

// window treats the disk from begin, a multiple of compareWindow, to end. The
// copied data is on the disk before the bits say so.
func (d *differ) window(ctx context.Context, begin, end int64) error {
	bits, known := begin/sectorSize/8, int64(d.header.BitmapLength())
	d.bitmap = make([]byte, divideUp(uint64(end-begin), 8*sectorSize))
	place := int64(d.header.BitmapOffset()) + bits
	known = min(max(known-bits, 0), int64(len(d.bitmap)))
	if err := readZeroFilled(d.cow, d.bitmap[:known], place); err != nil {
		return err
	}
	d.changed = false
	if err := d.compare(ctx, begin, end, known*8); err != nil || !d.changed {
		return err
	}
	if err := d.cow.Sync(); err != nil {
		return err
	}
	if _, err := d.cow.WriteAt(d.bitmap[:known], place); err != nil {
		return err
	}
	return d.cow.Sync()
}

// compare goes over the window's runs; bits is how many of its sectors have a
// bit in the file.
func (d *differ) compare(ctx context.Context, begin, end, bits int64) error {
	for at := begin; at < end; {
		if err := ctx.Err(); err != nil {
			return err
		}
		held, last := runEnd(d.bitmap, (at-begin)/sectorSize)
		stop := min(begin+last*sectorSize, end)
		if held {
			at = stop
			continue
		}
		data, err := d.nextData(at, stop)
		if err != nil {
			return err
		}
		at = data / sectorSize * sectorSize
		if data == stop {
			at = stop
			continue
		}
		step := min(stop-at, compareStep)
		if err := d.step(at, step, begin, bits); err != nil {
			return err
		}
		at += step
	}
	return nil
}

// step compares n bytes at off, which the COW file does not hold.
func (d *differ) step(off, n, begin, bits int64) error {
	a, b := d.a[:n], d.b[:n]
	for _, side := range []struct {
		file *os.File
		p    []byte
	}{{d.backing, a}, {d.to, b}} {
		if _, err := side.file.ReadAt(side.p, off); err != nil {
			return fmt.Errorf("cannot read %s: %w", side.file.Name(), err)
		}
	}
	for at := int64(0); at < n; {
		end := differing(a, b, at)
		if end == at {
			at += sectorSize
			continue
		}
		if err := d.keep(a[at:end], off+at, begin, bits); err != nil {
			return err
		}
		at = end
	}
	return nil
}

// differing is the end of the sectors from at on in which a and b differ.
func differing(a, b []byte, at int64) int64 {
	for n := int64(len(a)); at < n; {
		end := min(at+sectorSize, n)
		if bytes.Equal(a[at:end], b[at:end]) {
			break
		}
		at = end
	}
	return at
}

// keep writes data, which begins at off of the disk, to the COW file.
func (d *differ) keep(data []byte, off, begin, bits int64) error {
	first, last := (off-begin)/sectorSize, (off-begin+int64(len(data))-1)/sectorSize
	if last >= bits {
		return errors.New("the disk's last sectors differ, for which this old layout has no bits; copy the disk to a raw image instead")
	}
	if _, err := d.cow.WriteAt(data, int64(d.header.DataOffset())+off); err != nil {
		return err
	}
	for bit := first; bit <= last; bit++ {
		d.bitmap[bit/8] |= 1 << (bit % 8)
	}
	d.changed = true
	return nil
}
