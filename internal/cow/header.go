// Package cow reads and writes UML's copy-on-write files: a header that names
// the backing file, a bitmap of the sectors that the file itself holds, and
// their data. The format is the kernel's (arch/um/drivers/cow_user.c). It makes
// them, reads the disk that they and their backing files make, merges, rebases,
// verifies and repairs them. No backing file is written but by a merge. The
// package knows neither guests nor pools.
package cow

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	// magic is "OOOM" read as a big-endian number.
	magic = 0x4f4f4f4d

	sectorSize = 512
	alignment  = 4096

	pathV1 = 256  // PATH_LEN_V1
	pathV3 = 4096 // PATH_LEN_V2 and PATH_LEN_V3, NUL included

	sizeV1       = 4 + 4 + pathV1 + 4 + 8 + 4
	sizeV2       = 4 + 4 + pathV3 + 4 + 8 + 4
	sizeV3       = 32 + pathV3
	sizeV3Broken = 40 + pathV3

	// maxAlignment bounds what a header may claim, in bytes; kernels write
	// their page size.
	maxAlignment = 1 << 20
	// maxSize bounds a backing file's size so that no offset overflows.
	maxSize = 1 << 60
)

// MinWritable is the size in bytes of the smallest backing file over which
// kernels can write. With 64 sectors or fewer they look for a word of the
// bitmap before its beginning (ubd_kern.c, cowify_bitmap), and
// the write never ends.
const MinWritable = 65 * sectorSize

// MaxBackingPath is the longest path of a backing file, in bytes.
const MaxBackingPath = pathV3 - 1

var (
	// ErrNotCOW says that a file does not begin as a COW file does.
	ErrNotCOW = errors.New("not a UML copy-on-write file")
	// ErrDamaged says that a COW file's header makes no sense.
	ErrDamaged = errors.New("damaged UML copy-on-write file")
)

// Header is the beginning of a COW file.
type Header struct {
	// Version is the format's: 1, 2 or 3.
	Version int
	// Backing is the path of the backing file, as the guest's kernel opens
	// it.
	Backing string
	// BackingMtime is its modification time in seconds since 1970, and
	// BackingSize its size in bytes, when the COW file was made. A kernel
	// refuses the pair when either has changed.
	BackingMtime uint32
	BackingSize  uint64
	// SectorSize is the unit of the bitmap and Alignment that of the data,
	// in bytes.
	SectorSize, Alignment uint32

	// headerSize is the header's own length: one old 64-bit layout of
	// version 3 is longer than the other.
	headerSize uint64
}

// ReadHeader reads the header of a COW file in any of the layouts that kernels
// read. It returns ErrNotCOW for any other file.
func ReadHeader(r io.ReaderAt) (*Header, error) {
	buffer := make([]byte, sizeV3Broken)
	n, err := r.ReadAt(buffer, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("cannot read the header of a copy-on-write file: %w", err)
	}
	return parse(buffer[:n])
}

func parse(b []byte) (*Header, error) {
	if len(b) < 8 {
		return nil, ErrNotCOW
	}
	var h *Header
	var err error
	switch {
	case binary.NativeEndian.Uint32(b) == magic && binary.NativeEndian.Uint32(b[4:]) == 1:
		h, err = parseV1(b)
	case binary.BigEndian.Uint32(b) != magic:
		return nil, ErrNotCOW
	case binary.BigEndian.Uint32(b[4:]) == 2:
		h, err = parseV2(b)
	case binary.BigEndian.Uint32(b[4:]) == 3:
		h, err = parseV3(b)
	default:
		return nil, fmt.Errorf("%w: unknown version %d", ErrDamaged, binary.BigEndian.Uint32(b[4:]))
	}
	if err != nil {
		return nil, err
	}
	if err := h.validate(); err != nil {
		return nil, err
	}
	return h, nil
}

// parseV1 reads the first layout, in the byte order of its maker's machine:
// the path comes before the numbers.
func parseV1(b []byte) (*Header, error) {
	if len(b) < sizeV1 {
		return nil, short(1)
	}
	numbers := b[8+pathV1:]
	sector := binary.NativeEndian.Uint32(numbers[12:])
	return &Header{
		Version:      1,
		Backing:      cString(b[8 : 8+pathV1]),
		BackingMtime: binary.NativeEndian.Uint32(numbers),
		BackingSize:  binary.NativeEndian.Uint64(numbers[4:]),
		SectorSize:   sector,
		Alignment:    sector,
		headerSize:   sizeV1,
	}, nil
}

func parseV2(b []byte) (*Header, error) {
	if len(b) < sizeV2 {
		return nil, short(2)
	}
	numbers := b[8+pathV3:]
	sector := binary.BigEndian.Uint32(numbers[12:])
	return &Header{
		Version:      2,
		Backing:      cString(b[8 : 8+pathV3]),
		BackingMtime: binary.BigEndian.Uint32(numbers),
		BackingSize:  binary.BigEndian.Uint64(numbers[4:]),
		SectorSize:   sector,
		Alignment:    sector,
		headerSize:   sizeV2,
	}, nil
}

// parseV3 reads the present layout, or the one that 64-bit kernels wrote until
// December 2005: a mtime of 64 bits, its value in the first 32, shifts
// everything, so that the format field's zeros stand where the path would
// begin. The old struct also ends in 4 bytes of padding.
func parseV3(b []byte) (*Header, error) {
	if len(b) < sizeV3 {
		return nil, short(3)
	}
	h := &Header{Version: 3, headerSize: sizeV3}
	numbers, path := b[12:], b[32:]
	switch format := binary.BigEndian.Uint32(b[28:]); {
	case binary.BigEndian.Uint32(path) == 0:
		if len(b) < sizeV3Broken {
			return nil, short(3)
		}
		numbers, path = b[16:], b[36:]
		h.headerSize = sizeV3Broken
	case format != 0:
		return nil, fmt.Errorf("%w: unknown format %d, only the bitmap (0) is known", ErrDamaged, format)
	}
	h.Backing = cString(path[:pathV3])
	h.BackingMtime = binary.BigEndian.Uint32(b[8:])
	h.BackingSize = binary.BigEndian.Uint64(numbers)
	h.SectorSize = binary.BigEndian.Uint32(numbers[8:])
	h.Alignment = binary.BigEndian.Uint32(numbers[12:])
	return h, nil
}

// validate checks what the kernel does not (cow_user.c says so itself).
func (h *Header) validate() error {
	switch {
	case h.Backing == "":
		return fmt.Errorf("%w: it names no backing file", ErrDamaged)
	case h.SectorSize == 0 || h.SectorSize&(h.SectorSize-1) != 0 || h.SectorSize > maxAlignment:
		return fmt.Errorf("%w: sector size %d", ErrDamaged, h.SectorSize)
	case h.Alignment == 0 || h.Alignment&(h.Alignment-1) != 0 || h.Alignment > maxAlignment:
		return fmt.Errorf("%w: alignment %d", ErrDamaged, h.Alignment)
	case h.BackingSize > maxSize:
		return fmt.Errorf("%w: backing size %d", ErrDamaged, h.BackingSize)
	}
	return nil
}

// BitmapOffset is where the bitmap begins in the file, in bytes.
func (h *Header) BitmapOffset() uint64 {
	if h.Version < 3 {
		return h.headerSize
	}
	return roundUp(h.headerSize, uint64(h.Alignment))
}

// BitmapLength is the bitmap's length in bytes: one bit a sector. Versions 1
// and 2 round down, and lack the last sectors' bits.
func (h *Header) BitmapLength() uint64 {
	sector := uint64(h.SectorSize)
	if h.Version < 3 {
		return (h.BackingSize + sector - 1) / (8 * sector)
	}
	return divideUp(divideUp(h.BackingSize, sector), 8)
}

// DataOffset is where the sectors' data begins in the file, in bytes.
func (h *Header) DataOffset() uint64 {
	return roundUp(h.BitmapOffset()+h.BitmapLength(), uint64(h.Alignment))
}

// FileSize is the length of a complete COW file, holes included, in bytes.
func (h *Header) FileSize() uint64 { return h.DataOffset() + h.BackingSize }

// sectors is the disk's size in sectors of 512 bytes, the last one perhaps in
// part.
func (h *Header) sectors() int64 { return int64(divideUp(h.BackingSize, sectorSize)) }

// encode is the header in the present layout.
func (h *Header) encode() []byte {
	b := make([]byte, 32, sizeV3)
	binary.BigEndian.PutUint32(b[0:], magic)
	binary.BigEndian.PutUint32(b[4:], 3)
	binary.BigEndian.PutUint32(b[8:], h.BackingMtime)
	binary.BigEndian.PutUint64(b[12:], h.BackingSize)
	binary.BigEndian.PutUint32(b[20:], h.SectorSize)
	binary.BigEndian.PutUint32(b[24:], h.Alignment)
	b = append(b, h.Backing...)
	return b[:sizeV3] // the rest is zero
}

func short(version int) error {
	return fmt.Errorf("%w: shorter than a header of version %d", ErrDamaged, version)
}

// cString is b up to its NUL; without one the path is cut where the field ends,
// which the kernel would overrun, so it counts as none.
func cString(b []byte) string {
	end := bytes.IndexByte(b, 0)
	if end < 0 {
		return ""
	}
	return string(b[:end])
}

func divideUp(n, unit uint64) uint64 { return (n + unit - 1) / unit }

func roundUp(n, unit uint64) uint64 { return divideUp(n, unit) * unit }
