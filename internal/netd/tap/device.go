package tap

import (
	"errors"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Device is an open tap or macvtap.
type Device interface {
	io.ReadWriteCloser
	// SetLink changes the state of the device's link; that of somebody
	// else's macvtap stays. The error is a *virerr.Error.
	SetLink(up bool) error
}

// device is a Device.
type device struct {
	name string
	file *os.File
	raw  syscall.RawConn
	// remove deletes the device; nil where that is not ours to do, or
	// happens by itself.
	remove func() error
	// setLink is nil where the link is not ours to change.
	setLink func(up bool) error
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

// newTap is newDevice for a tap.
func newTap(fd int, name string, cfg Config) (*device, error) {
	d, err := newDevice(fd, name)
	if err != nil {
		return nil, err
	}
	d.setLink = d.setCarrier
	if cfg.Down {
		if err := d.SetLink(false); err != nil {
			return nil, errors.Join(err, d.Close())
		}
	}
	return d, nil
}

// SetLink changes the link.
func (d *device) SetLink(up bool) error {
	if d.setLink == nil {
		return nil
	}
	return d.setLink(up)
}

// setCarrier plugs a tap's cable in or out. The kernel lets everybody do it who
// has the tap open; it is plugged in again when the tap is opened next.
func (d *device) setCarrier(up bool) error {
	carrier := 0
	if up {
		carrier = 1
	}
	var err error
	rawErr := d.raw.Control(func(fd uintptr) { err = unix.IoctlSetPointerInt(int(fd), unix.TUNSETCARRIER, carrier) })
	if err = errors.Join(rawErr, err); err != nil {
		return failed(err, "Cannot set the carrier of '%s'", d.name)
	}
	return nil
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
