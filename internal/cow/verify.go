package cow

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Kind is what is wrong with a COW file.
type Kind string

// The kinds of problems.
const (
	// BadHeader: the header makes no sense.
	BadHeader Kind = "header"
	// CutShort: the file is shorter than its layout, but no sector is lost.
	CutShort Kind = "cut-short"
	// DataLost: the file is so short that sectors are lost which it held.
	DataLost Kind = "data-lost"
	// BitsBeyondEnd: the bitmap speaks of sectors behind the disk's end.
	BitsBeyondEnd Kind = "bits-beyond-end"
	// OldVersion: a layout that kernels read, but no longer write.
	OldVersion Kind = "old-version"
	// MergeUnfinished: a merge has begun and did not end.
	MergeUnfinished Kind = "merge-unfinished"
	// BackingPath: the backing file's path is not absolute.
	BackingPath Kind = "backing-path"
	// BackingMissing: the backing file is not there.
	BackingMissing Kind = "backing-missing"
	// BackingSelf: the COW file names itself, perhaps by a link.
	BackingSelf Kind = "backing-self"
	// BackingUnfit: the backing file is a COW file, or no regular file.
	BackingUnfit Kind = "backing-unfit"
	// BackingSize: the backing file has another size than it had.
	BackingSize Kind = "backing-size"
	// BackingMtime: the backing file was modified, or copied.
	BackingMtime Kind = "backing-mtime"
)

// Problem is one thing that is wrong.
type Problem struct {
	Kind Kind
	// Text is a sentence for people: what is wrong and what to do.
	Text string
	// Repairable says that Repair can mend it, perhaps only when its options
	// allow.
	Repairable bool
	// Harmless says that kernels use the file all the same.
	Harmless bool
}

// Report is what Verify finds.
type Report struct {
	// Header is nil when it makes no sense.
	Header *Header
	// Held is how many sectors of 512 bytes the file holds itself.
	Held     int64
	Problems []Problem
}

// OK tells whether a kernel will use the pair and read from it what guests
// wrote.
func (r *Report) OK() bool {
	for _, p := range r.Problems {
		if !p.Harmless {
			return false
		}
	}
	return true
}

// Has tells whether there is a problem of the kind.
func (r *Report) Has(kind Kind) bool {
	for _, p := range r.Problems {
		if p.Kind == kind {
			return true
		}
	}
	return false
}

func (r *Report) add(p Problem) { r.Problems = append(r.Problems, p) }

// Verify looks what is wrong with cow. backing is the file that its header
// names, nil when there is none, and both are open for reading. It changes
// nothing. The error is ErrNotCOW for another file, or says why the file
// cannot be read; whatever else is wrong is in the report.
func Verify(cow, backing *os.File) (*Report, error) {
	info, err := cow.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: %w: not a regular file", cow.Name(), ErrNotCOW)
	}
	header, err := ReadHeader(cow)
	if errors.Is(err, ErrDamaged) {
		return &Report{Problems: []Problem{{Kind: BadHeader, Text: err.Error()}}}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", cow.Name(), err)
	}
	if header.SectorSize != sectorSize {
		text := fmt.Sprintf("its sectors have %d bytes, but kernels know only 512", header.SectorSize)
		return &Report{Header: header, Problems: []Problem{{Kind: BadHeader, Text: text}}}, nil
	}
	r := &Report{Header: header}
	if header.Version < 3 {
		r.add(Problem{Kind: OldVersion, Harmless: true,
			Text: fmt.Sprintf("it has version %d of the format, which kernels no longer write; copy the disk to a raw image to be rid of it", header.Version)})
	}
	if err := r.content(cow, info); err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", cow.Name(), err)
	}
	if err := r.backing(&pair{cow, backing, header}); err != nil {
		return nil, err
	}
	return r, nil
}

// content looks at bitmap and data.
func (r *Report) content(cow *os.File, info fs.FileInfo) error {
	var err error
	bitmap := newScanner(cow, r.Header)
	if r.Held, err = bitmap.count(0); err != nil {
		return err
	}
	if err := r.length(bitmap, info.Size()); err != nil {
		return err
	}
	stray, _, err := strayBits(cow, r.Header)
	if err != nil {
		return err
	}
	if stray != 0 {
		r.add(Problem{Kind: BitsBeyondEnd, Repairable: true, Harmless: true,
			Text: "the bitmap's last byte speaks of sectors behind the disk's end"})
	}
	return nil
}

// length looks whether the file, of size bytes, was cut.
func (r *Report) length(bitmap *scanner, size int64) error {
	h := r.Header
	if uint64(size) >= h.FileSize() {
		return nil
	}
	if uint64(size) < h.BitmapOffset()+h.BitmapLength() {
		r.add(Problem{Kind: DataLost, Repairable: true, Text: fmt.Sprintf(
			"the file has %d bytes and ends within its bitmap: all that guests wrote behind is lost; restore it, or repair it and lose that", size)})
		return nil
	}
	present := max(size-int64(h.DataOffset()), 0)
	lost, err := bitmap.count(present / sectorSize)
	if err != nil {
		return err
	}
	if lost > 0 {
		r.add(Problem{Kind: DataLost, Repairable: true, Text: fmt.Sprintf(
			"the file has %d bytes instead of %d: %d sectors that guests wrote are lost; restore it, or repair it and read them as 0", size, h.FileSize(), lost)})
		return nil
	}
	r.add(Problem{Kind: CutShort, Repairable: true,
		Text: fmt.Sprintf("the file has %d bytes instead of %d, but no written sector is lost; repair it", size, h.FileSize())})
	return nil
}

// strayBits are the bits behind the last sector's in the bitmap's last byte,
// and the byte without them.
func strayBits(cow *os.File, h *Header) (stray, rest byte, err error) {
	used := h.sectors() % 8
	if h.Version < 3 || used == 0 {
		return 0, 0, nil
	}
	last := make([]byte, 1)
	if err := readZeroFilled(cow, last, lastBitmapByte(h)); err != nil {
		return 0, 0, err
	}
	mask := byte(1)<<used - 1
	return last[0] &^ mask, last[0] & mask, nil
}

func lastBitmapByte(h *Header) int64 { return int64(h.BitmapOffset() + h.BitmapLength() - 1) }

// backing looks at the file that the header names.
func (r *Report) backing(p *pair) error {
	h := r.Header
	switch {
	case !filepath.IsAbs(h.Backing):
		r.add(Problem{Kind: BackingPath, Text: fmt.Sprintf("its backing file %q is not an absolute path; rebase it to one", h.Backing)})
		if p.backing == nil {
			return nil
		}
	case p.backing == nil:
		r.add(Problem{Kind: BackingMissing,
			Text: fmt.Sprintf("its backing file %s is not there; restore it, or rebase to where it is now", h.Backing)})
		return nil
	}
	cow, backing, err := p.stat()
	if err != nil {
		return err
	}
	if os.SameFile(cow, backing) {
		r.add(Problem{Kind: BackingSelf, Text: "it is its own backing file; rebase it to the one that it was made over"})
		return nil
	}
	if err := checkBacking(p.backing, backing, cow); errors.Is(err, ErrMismatch) {
		r.add(Problem{Kind: BackingUnfit, Text: err.Error()})
		return nil
	} else if err != nil {
		return err
	}
	r.compare(p, backing)
	return nil
}

// compare looks at what the header tells of the backing file.
func (r *Report) compare(p *pair, backing fs.FileInfo) {
	const unfinished = "a merge into the backing file did not end; nothing is lost: merge again, or repair it to go on without"
	err := Check(r.Header, backing)
	switch {
	case p.halfMerged(backing):
		r.add(Problem{Kind: MergeUnfinished, Repairable: true, Harmless: err == nil, Text: unfinished})
	case err == nil:
	case uint64(backing.Size()) != r.Header.BackingSize:
		r.add(Problem{Kind: BackingSize, Text: err.Error()})
	default:
		r.add(Problem{Kind: BackingMtime, Repairable: true, Text: err.Error()})
	}
}
