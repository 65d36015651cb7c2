package cow

import (
	"encoding/binary"
	"errors"
	"io"
	"math/bits"
	"os"
)

// window is how much of a bitmap is in memory at a time, in bytes: it tells of
// 256 MiB of the disk.
const window = 64 << 10

// scanner walks over a COW file's bitmap without ever holding all of it. It
// skips the bitmap's holes, so that its cost follows the disk blocks that the
// bitmap takes, not the length that a header claims.
type scanner struct {
	file           *os.File
	offset, length int64 // of the bitmap in the file, in bytes
	sectors        int64

	// start and end are the part of the bitmap that is known, in bytes; bits
	// is its content, nil when all is 0.
	start, end int64
	bits       []byte
	buffer     []byte
}

func newScanner(file *os.File, h *Header) *scanner {
	return &scanner{
		file:    file,
		offset:  int64(h.BitmapOffset()),
		length:  int64(h.BitmapLength()),
		sectors: h.sectors(),
	}
}

// run tells whether the file holds sector itself, and up to which sector that
// is so without a break. The run may go on behind it.
func (s *scanner) run(sector int64) (held bool, end int64, err error) {
	if at := sector / 8; at < s.start || at >= s.end {
		if err := s.load(at); err != nil {
			return false, 0, err
		}
	}
	if s.bits == nil {
		return false, min(s.end*8, s.sectors), nil
	}
	held, bit := runEnd(s.bits, sector-s.start*8)
	return held, min(s.start*8+bit, s.sectors), nil
}

// load makes the part of the bitmap that begins at byte at the known one.
func (s *scanner) load(at int64) error {
	if at >= s.length { // the sectors for which versions 1 and 2 lack bits
		s.start, s.end, s.bits = at, s.sectors/8+1, nil
		return nil
	}
	data, err := nextData(s.file, s.offset+at, s.offset+s.length)
	if err != nil {
		return err
	}
	if data -= s.offset; data > at {
		s.start, s.end, s.bits = at, data, nil
		return nil
	}
	if s.buffer == nil {
		s.buffer = make([]byte, window)
	}
	part := s.buffer[:min(window, s.length-at)]
	if err := readZeroFilled(s.file, part, s.offset+at); err != nil {
		return err
	}
	s.start, s.end, s.bits = at, at+int64(len(part)), part
	return nil
}

// count is how many of the sectors from first on the file holds.
func (s *scanner) count(first int64) (int64, error) {
	var n int64
	for sector := first; sector < s.sectors; {
		held, end, err := s.run(sector)
		if err != nil {
			return 0, err
		}
		if held {
			n += end - sector
		}
		sector = end
	}
	return n, nil
}

// runEnd is the bit at from and the first one behind it that differs, or the
// end of all.
func runEnd(b []byte, from int64) (set bool, end int64) {
	var same uint64
	if set = b[from/8]>>(from%8)&1 == 1; set {
		same = ^uint64(0)
	}
	if rest := (b[from/8] ^ byte(same)) >> (from % 8); rest != 0 {
		return set, from + int64(bits.TrailingZeros8(rest))
	}
	at := from/8 + 1
	for ; at+8 <= int64(len(b)); at += 8 {
		if diff := binary.LittleEndian.Uint64(b[at:]) ^ same; diff != 0 {
			return set, at*8 + int64(bits.TrailingZeros64(diff))
		}
	}
	for ; at < int64(len(b)); at++ {
		if diff := b[at] ^ byte(same); diff != 0 {
			return set, at*8 + int64(bits.TrailingZeros8(diff))
		}
	}
	return set, at * 8
}

// readZeroFilled fills p from off on. What lies behind the file's end is 0, as
// it is for the kernel.
func readZeroFilled(r io.ReaderAt, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	clear(p[n:])
	return nil
}
