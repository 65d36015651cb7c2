package console

import (
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// deviceSource is a host's terminal or other character device.
type deviceSource struct {
	file    *os.File
	backlog *backlog
	// before is the terminal's mode as it was found, nil when it is none.
	before *unix.Termios
}

func openDevice(name, path string) (*deviceSource, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, hostError(name, "open the device", path, err)
	}
	d := &deviceSource{backlog: newBacklog()}
	if mode, err := unix.IoctlGetTermios(fd, unix.TCGETS); err == nil {
		d.before = mode
		if err := makeRaw(fd); err != nil {
			unix.Close(fd)
			return nil, hostError(name, "set up the device", path, err)
		}
	}
	d.file = os.NewFile(uintptr(fd), path)
	return d, nil
}

func (d *deviceSource) Write(b []byte) (int, error) { return d.backlog.Write(b) }

func (d *deviceSource) serve(guest io.Writer) { exchange(d.file, d.backlog, guest) }

func (d *deviceSource) settle(limit time.Duration) { settleWhile(d.backlog.Len, limit) }

func (d *deviceSource) stop() {
	d.backlog.close()
	if d.before != nil {
		if conn, err := d.file.SyscallConn(); err == nil {
			_ = conn.Control(func(fd uintptr) { _ = unix.IoctlSetTermios(int(fd), unix.TCSETS, d.before) })
		}
	}
	d.file.Close()
}
