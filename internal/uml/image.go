package uml

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"

	libvirt "github.com/digitalocean/go-libvirt"
	"golang.org/x/sys/unix"

	"virtumld/internal/cow"
	"virtumld/internal/domain"
	"virtumld/internal/domxml"
	"virtumld/internal/imgformat"
	"virtumld/internal/virerr"
)

// image is a disk's file or block device, open for a look at it.
type image struct {
	*os.File
	// size is what can be read, allocated what it takes of the host, both
	// in bytes.
	size, allocated int64
}

// openImage opens the file or block device at path. It never waits, as a FIFO
// would have it, and takes nothing else for a disk.
func openImage(path string) (*image, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	i := &image{File: file}
	if err := i.measure(); err != nil {
		file.Close()
		return nil, err
	}
	return i, nil
}

func (i *image) measure() error {
	var st unix.Stat_t
	if err := unix.Fstat(int(i.Fd()), &st); err != nil {
		return &os.PathError{Op: "stat", Path: i.Name(), Err: err}
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		i.size, i.allocated = st.Size, st.Blocks*512
		return nil
	case unix.S_IFBLK:
		end, err := i.Seek(0, io.SeekEnd)
		i.size, i.allocated = end, end
		return err
	default:
		return errors.New("it is neither a file nor a block device")
	}
}

// DiskInfo tells the sizes of a disk's image as it is now. name is the disk's
// target or the path of its source.
func (m *Machine) DiskInfo(ctx context.Context, def *domxml.Definition, name string) (domain.DiskInfo, error) {
	resolved, err := m.present(ctx, def)
	if err != nil {
		return domain.DiskInfo{}, err
	}
	disk, found := resolved.Disk(name)
	if !found {
		return domain.DiskInfo{}, virerr.New(libvirt.ErrInvalidArg, "invalid path %s not assigned to domain", name)
	}
	i, err := openImage(disk.Path)
	if err != nil {
		return domain.DiskInfo{}, virerr.New(libvirt.ErrSystemError, "Failed to open file '%s': %w", disk.Path, reason(err))
	}
	defer i.Close()
	info := domain.DiskInfo{Capacity: uint64(i.size), Allocation: uint64(i.allocated), Physical: uint64(i.size)}
	if disk.COW {
		header, err := cow.ReadHeader(i)
		if err != nil {
			return domain.DiskInfo{}, errHeader(disk, err)
		}
		info.Capacity = header.BackingSize
	}
	return info, nil
}

// reason leaves out what Go says of the file, which the messages name.
func reason(err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}

func errHeader(disk domxml.Disk, err error) error {
	return virerr.New(libvirt.ErrOperationFailed, "<disk> %s: cannot read the copy-on-write file '%s': %w", disk.Target, disk.Path, reason(err))
}

// unreadable are the formats that hold a disk in a form which only other
// hypervisors read. ISO images and encrypted ones are not among them: guests
// use these as they are.
var unreadable = []imgformat.Format{
	imgformat.COW, imgformat.QCOW, imgformat.QCOW2, imgformat.QED, imgformat.VMDK, imgformat.VDI,
	imgformat.VPC, imgformat.DMG, imgformat.Ploop, imgformat.BOCHS, imgformat.Cloop,
}

// checkFormat refuses a disk that is raw for want of another word, while its
// content is an image of some other format: the guest would find nothing on
// it. An image whose definition says raw is never looked at, since a raw disk
// may hold anything, a guest's own images included. What a guest writes to
// its disk can keep it from starting, but never make it another format.
func checkFormat(disk domxml.Disk) error {
	if disk.FormatGiven {
		return nil
	}
	i, err := openImage(disk.Path)
	if err != nil {
		return nil // the start itself will tell
	}
	defer i.Close()
	found, err := imgformat.Detect(i, i.size)
	if err != nil {
		return virerr.New(libvirt.ErrSystemError, "<disk> %s: %w", disk.Target, err)
	}
	for _, format := range unreadable {
		if found.Format != format {
			continue
		}
		return virerr.In(virerr.UML, libvirt.ErrConfigUnsupported,
			"<disk> %s: '%s' is an image of format '%s', but the disk has no <driver type=…/> and is therefore raw; %s, or use type='raw' if the disk really begins like this",
			disk.Target, disk.Path, format, formatAdvice(format))
	}
	return nil
}

func formatAdvice(format imgformat.Format) string {
	var usable *virerr.Error
	if errors.As(imgformat.Usable(format), &usable) {
		return usable.Detail
	}
	return "use type='" + string(format) + "'"
}
