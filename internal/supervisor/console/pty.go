package console

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// ptySource is a pseudo terminal pair. The slave stays open here, so that a
// client that closes it hangs nothing up.
type ptySource struct {
	path    string
	master  *os.File
	slave   *os.File
	backlog *backlog
}

func openPTY(name string) (*ptySource, error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, hostError(name, "open", "/dev/ptmx", err)
	}
	master := os.NewFile(uintptr(fd), "ptmx")
	p := &ptySource{master: master, backlog: newBacklog()}
	if err := p.openSlave(fd); err != nil {
		master.Close()
		return nil, hostError(name, "make a pty at", p.path, err)
	}
	p.backlog.onDrop(p.flush)
	return p, nil
}

func (p *ptySource) openSlave(master int) error {
	if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err != nil {
		return err
	}
	number, err := unix.IoctlGetInt(master, unix.TIOCGPTN)
	if err != nil {
		return err
	}
	p.path = fmt.Sprintf("/dev/pts/%d", number)
	slave, err := os.OpenFile(p.path, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	if err := makeRaw(int(slave.Fd())); err != nil {
		slave.Close()
		return err
	}
	p.slave = slave
	return nil
}

// makeRaw turns off all processing, as cfmakeraw(3) does.
func makeRaw(fd int) error {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	t.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	t.Oflag &^= unix.OPOST
	t.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	t.Cflag = t.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	return unix.IoctlSetTermios(fd, unix.TCSETS, t)
}

func (p *ptySource) Write(b []byte) (int, error) { return p.backlog.Write(b) }

// flush empties the terminal's own queue, which holds older bytes than those
// the backlog has just forgotten.
func (p *ptySource) flush() {
	_ = unix.IoctlSetInt(int(p.slave.Fd()), unix.TCFLSH, unix.TCIFLUSH)
}

func (p *ptySource) serve(guest io.Writer) { exchange(p.master, p.backlog, guest) }

func (p *ptySource) settle(limit time.Duration) {
	settleWhile(func() int {
		queued, err := unix.IoctlGetInt(int(p.slave.Fd()), unix.TIOCINQ)
		if err != nil {
			return 0
		}
		return queued + p.backlog.Len()
	}, limit)
}

func (p *ptySource) stop() {
	p.backlog.onDrop(nil)
	p.backlog.close()
	p.master.Close()
	p.slave.Close()
}
