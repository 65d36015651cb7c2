package uml

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	libvirt "github.com/digitalocean/go-libvirt"
	"golang.org/x/sys/unix"

	"virtumld/internal/cow"
	"virtumld/internal/domxml"
	"virtumld/internal/filelock"
	"virtumld/internal/virerr"
)

// preparedDisks is what a start needs to know of its disks' images.
type preparedDisks struct {
	// backing maps the unit of each COW disk to where its header expects
	// the backing file.
	backing map[int]string
	// made are the COW files that were not there before.
	made []madeFile
}

// madeFile is a file that a start has made.
type madeFile struct {
	path string
	info fs.FileInfo
}

// prepareDisks looks at the disks' images. A COW file that is not there yet is
// made, as the kernel would; discard removes it when the start fails.
func prepareDisks(disks []domxml.Disk) (*preparedDisks, error) {
	p := &preparedDisks{backing: make(map[int]string)}
	for _, disk := range disks {
		if err := p.prepare(disk); err != nil {
			return nil, errors.Join(err, p.discard())
		}
	}
	return p, nil
}

func (p *preparedDisks) prepare(disk domxml.Disk) error {
	if !disk.COW {
		return checkFormat(disk)
	}
	file, err := p.openCOW(disk)
	if err != nil {
		return err
	}
	defer file.Close()
	header, err := cow.ReadHeader(file)
	if err != nil {
		return errHeader(disk, err)
	}
	if err := checkCOW(disk, file, header); err != nil {
		return err
	}
	p.backing[disk.Unit] = header.Backing
	return nil
}

// openCOW opens a COW disk, which is made where it is missing.
func (p *preparedDisks) openCOW(disk domxml.Disk) (*image, error) {
	file, err := openImage(disk.Path)
	if errors.Is(err, fs.ErrNotExist) && disk.Backing != "" {
		if err := p.create(disk); err != nil {
			return nil, virerr.New(libvirt.ErrSystemError, "<disk> %s: %w", disk.Target, err)
		}
		file, err = openImage(disk.Path)
	}
	if err != nil {
		return nil, errHeader(disk, err)
	}
	return file, nil
}

// checkCOW refuses a COW file that the kernel would refuse later, or believe
// though something is missing from it.
func checkCOW(disk domxml.Disk, file *image, header *cow.Header) error {
	if header.BackingSize < cow.MinWritable && !disk.ReadOnly {
		return virerr.In(virerr.UML, libvirt.ErrConfigUnsupported,
			"<disk> %s: a copy-on-write disk of %d bytes is too small: kernels cannot write to one of less than %d; make it larger, use a raw copy, or add <readonly/>",
			disk.Target, header.BackingSize, cow.MinWritable)
	}
	path := disk.Backing
	if path == "" {
		path = header.Backing
	}
	backing, err := openImage(path)
	if err != nil {
		return virerr.New(libvirt.ErrSystemError, "<disk> %s: cannot look at the backing file: %w", disk.Target, err)
	}
	defer backing.Close()
	if _, err := cow.NewReader(file.File, backing.File); err != nil {
		return virerr.New(libvirt.ErrOperationFailed, "<disk> %s: %w", disk.Target, err)
	}
	// A half-merged file can be read and merged on, but no kernel takes it.
	info, err := backing.Stat()
	if err != nil {
		return virerr.New(libvirt.ErrSystemError, "<disk> %s: %w", disk.Target, err)
	}
	if err := cow.Check(header, info); err != nil {
		return virerr.New(libvirt.ErrOperationFailed, "<disk> %s: %w", disk.Target, err)
	}
	return nil
}

func (p *preparedDisks) create(disk domxml.Disk) error {
	if err := cow.Create(disk.Path, disk.Backing); err != nil {
		return err
	}
	info, err := os.Lstat(disk.Path)
	if err != nil {
		return err
	}
	p.made = append(p.made, madeFile{disk.Path, info})
	return nil
}

// discard removes what was made, unless another guest uses it by now.
func (p *preparedDisks) discard() error {
	var failures []error
	for _, file := range p.made {
		if err := file.remove(); err != nil {
			failures = append(failures, fmt.Errorf("cannot remove the copy-on-write file that was made for this start: %w", err))
		}
	}
	return errors.Join(failures...)
}

func (f madeFile) remove() error {
	file, err := os.OpenFile(f.path, os.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if !os.SameFile(info, f.info) || filelock.Lock(file, filelock.Exclusive) != nil {
		return nil // another's by now
	}
	return os.Remove(f.path)
}
