package tap

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// device is an open tap or macvtap.
type device struct {
	name string
	file *os.File
	raw  syscall.RawConn
	// remove deletes the device; nil where that is not ours to do, or
	// happens by itself.
	remove func() error
}

// newDevice takes fd, which is already attached to a device: before that the
// runtime cannot wait for it.
func newDevice(fd int, name string) (*device, error) {
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, errors.Join(failed(err, "cannot use the device %s", name), unix.Close(fd))
	}
	file := os.NewFile(uintptr(fd), name)
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, errors.Join(failed(err, "cannot use the device %s", name), file.Close())
	}
	return &device{name: name, file: file, raw: raw}, nil
}

// Read takes one frame.
func (d *device) Read(p []byte) (int, error) { return d.file.Read(p) }

// Write sends one frame, or fails at once.
func (d *device) Write(p []byte) (int, error) {
	var n int
	var err error
	rawErr := d.raw.Write(func(fd uintptr) bool {
		for {
			if n, err = unix.Write(int(fd), p); err != unix.EINTR {
				return true
			}
		}
	})
	if rawErr != nil {
		return 0, rawErr
	}
	return max(n, 0), err
}

// Close ends a Read that waits and removes the device if it was made for this.
func (d *device) Close() error {
	err := d.file.Close()
	if err == nil && d.remove != nil {
		err = d.remove()
	}
	return err
}
