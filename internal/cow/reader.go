package cow

import (
	"errors"
	"fmt"
	"io"
	"os"
)

const (
	// readStep is what one look at the bitmap serves, in bytes of the disk.
	readStep = 2 << 20
	// extentEnough bounds how far NextData joins neighbours, in bytes.
	extentEnough = 64 << 20
)

// Reader is the disk that a guest would see: the COW file's sectors over the
// backing file's. It takes no locks, and expects both files to stay as they
// are. ReadAt may be called by many goroutines at a time, NextData by one.
type Reader struct {
	pair
	bitmap *scanner
}

// NewReader reads through cow, open for reading, and its backing file. Both
// stay the caller's, who closes them. The error is ErrNotCOW, ErrDamaged or
// ErrMismatch when the files are.
func NewReader(cow, backing *os.File) (*Reader, error) {
	p, err := newPair(cow, backing)
	if err != nil {
		return nil, err
	}
	return &Reader{pair: *p, bitmap: newScanner(cow, p.header)}, nil
}

// Size is the disk's size in bytes, which is the backing file's.
func (r *Reader) Size() int64 { return int64(r.header.BackingSize) }

// Backing is the backing file's path as the header spells it.
func (r *Reader) Backing() string { return r.header.Backing }

// Header is the COW file's.
func (r *Reader) Header() Header { return *r.header }

// ReadAt implements io.ReaderAt.
func (r *Reader) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("cannot read %s at the negative offset %d", r.cow.Name(), off)
	}
	var atEnd error
	if left := max(r.Size()-off, 0); int64(len(p)) > left {
		p, atEnd = p[:left], io.EOF
	}
	var done int
	for done < len(p) {
		at := off + int64(done)
		step := min(int64(len(p)-done), readStep-at%readStep)
		n, err := r.readStep(p[done:done+int(step)], at)
		done += n
		if err != nil {
			return done, err
		}
	}
	return done, atEnd
}

// readStep reads p, which lies within one step of the disk.
func (r *Reader) readStep(p []byte, off int64) (int, error) {
	first, last := off/sectorSize, (off+int64(len(p))-1)/sectorSize
	bits := make([]byte, last/8-first/8+1)
	if err := r.readBits(bits, first/8); err != nil {
		return 0, err
	}
	done := 0
	for done < len(p) {
		at := off + int64(done)
		held, end := runEnd(bits, at/sectorSize-first/8*8)
		n := int(min((first/8*8+end)*sectorSize-at, int64(len(p)-done)))
		file, shift := r.holder(held)
		got, err := file.ReadAt(p[done:done+n], at+shift)
		done += got
		if got < n {
			if errors.Is(err, io.EOF) {
				err = fmt.Errorf("%s became shorter while it was read: %w", file.Name(), io.ErrUnexpectedEOF)
			}
			return done, err
		}
	}
	return done, nil
}

// readBits reads a piece of the bitmap; what versions 1 and 2 lack is 0.
func (r *Reader) readBits(bits []byte, at int64) error {
	known := min(max(int64(r.header.BitmapLength())-at, 0), int64(len(bits)))
	return readZeroFilled(r.cow, bits[:known], int64(r.header.BitmapOffset())+at)
}

// holder is the file that holds a sector, and how far from the sector's place
// on the disk it does so.
func (p *pair) holder(held bool) (file *os.File, shift int64) {
	if held {
		return p.cow, int64(p.header.DataOffset())
	}
	return p.backing, 0
}

// NextData finds the next part of the disk from off on that is not a hole: the
// file that holds it has data there. Other parts read as 0. Extents that
// follow each other without a gap may come as several. The error is io.EOF
// when there is none.
func (r *Reader) NextData(off int64) (start, end int64, err error) {
	start, end, err = r.nextExtent(max(off, 0))
	for err == nil && end < r.Size() && end-start < extentEnough {
		next, nextEnd, err := r.nextExtent(end)
		if errors.Is(err, io.EOF) || err == nil && next > end {
			break
		}
		if err != nil {
			return 0, 0, err
		}
		end = nextEnd
	}
	return start, end, err
}

// nextExtent is NextData within one file and one run of the bitmap.
func (r *Reader) nextExtent(off int64) (start, end int64, err error) {
	for off < r.Size() {
		held, last, err := r.bitmap.run(off / sectorSize)
		if err != nil {
			return 0, 0, err
		}
		runEnd := min(last*sectorSize, r.Size())
		file, shift := r.holder(held)
		data, err := nextData(file, off+shift, runEnd+shift)
		if err != nil {
			return 0, 0, err
		}
		if data < runEnd+shift {
			hole, err := nextHole(file, data, runEnd+shift)
			return data - shift, hole - shift, err
		}
		off = runEnd
	}
	return 0, 0, io.EOF
}
