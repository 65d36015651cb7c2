package cow

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"virtumld/internal/filelock"
)

var (
	// ErrMismatch says that the backing file is not, or no longer, the one
	// that the COW file was made over.
	ErrMismatch = errors.New("the backing file does not match")
	// ErrBusy says that a guest or another task has one of the files open.
	ErrBusy = errors.New("in use by a guest or another task")
)

// pair is a COW file and its backing file.
type pair struct {
	cow, backing *os.File
	header       *Header
}

// openFile never waits, as it would for a FIFO's other end.
func openFile(path string, flag int) (*os.File, error) {
	return os.OpenFile(path, flag|unix.O_NONBLOCK, 0)
}

// newPair takes files that are open already and looks whether they belong
// together.
func newPair(cow, backing *os.File) (*pair, error) {
	header, err := ReadHeader(cow)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", cow.Name(), err)
	}
	p := &pair{cow, backing, header}
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", cow.Name(), err)
	}
	return p, nil
}

// check is what must be true before a sector is believed.
func (p *pair) check() error {
	cow, backing, err := p.stat()
	if err != nil {
		return err
	}
	if err := checkLayout(p.header, cow); err != nil {
		return err
	}
	if err := checkBacking(p.backing, backing, cow); err != nil {
		return err
	}
	if err := Check(p.header, backing); err != nil && !p.halfMerged(backing) {
		return err
	}
	return nil
}

func (p *pair) stat() (cow, backing fs.FileInfo, err error) {
	if cow, err = p.cow.Stat(); err != nil {
		return nil, nil, err
	}
	if backing, err = p.backing.Stat(); err != nil {
		return nil, nil, err
	}
	return cow, backing, nil
}

// checkLayout looks whether all that the header speaks of is in the file.
func checkLayout(h *Header, cow fs.FileInfo) error {
	switch {
	case !cow.Mode().IsRegular():
		return fmt.Errorf("%w: not a regular file", ErrDamaged)
	case h.SectorSize != sectorSize:
		return fmt.Errorf("%w: sectors of %d bytes, but kernels know only 512", ErrDamaged, h.SectorSize)
	case uint64(cow.Size()) < h.FileSize():
		return fmt.Errorf("%w: it has %d bytes and needs %d: something has cut it short; repair it", ErrDamaged, cow.Size(), h.FileSize())
	}
	return nil
}

// checkBacking looks whether the file may be a backing file at all.
func checkBacking(file *os.File, backing, cow fs.FileInfo) error {
	switch {
	case os.SameFile(backing, cow):
		return fmt.Errorf("%w: the copy-on-write file is its own backing file; rebase it", ErrMismatch)
	case !backing.Mode().IsRegular():
		return fmt.Errorf("%w: %s is not a regular file", ErrMismatch, file.Name())
	}
	_, err := ReadHeader(file)
	switch {
	case errors.Is(err, ErrNotCOW):
		return nil
	case err == nil, errors.Is(err, ErrDamaged):
		return fmt.Errorf("%w: %s is itself a copy-on-write file, which the kernel would read as raw data", ErrMismatch, file.Name())
	default:
		return err
	}
}

// lock locks f until it is closed.
func lock(f *os.File, kind filelock.Kind) error {
	err := filelock.Lock(f, kind)
	if errors.Is(err, filelock.ErrHeld) {
		return fmt.Errorf("%s: %w", f.Name(), ErrBusy)
	}
	return err
}
