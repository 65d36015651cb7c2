package daemon

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrRunning is in the chain of the error that says that another daemon
// serves the instance already.
var ErrRunning = errors.New("another virtumld serves this instance already")

// pidFile is a daemon's claim on an instance: a file with its pid, locked for
// its life. The kernel drops the lock with the process, however it ends, and
// the file stays: removing it would let two daemons hold two files of one name.
type pidFile struct{ file *os.File }

// acquire locks the file at path, which is made if need be, and writes the
// process's pid to it. The lock belongs to the open file, not to the process
// (F_OFD_SETLK), so nothing else in the process can drop it by accident. A
// daemon that holds the lock is waited for until patience is over: it may be
// about to end.
func acquire(path string, patience time.Duration) (*pidFile, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o644)
	if err != nil {
		return nil, fmt.Errorf("cannot open the pid file: %w", err)
	}
	if err := lock(file, patience); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	p := &pidFile{file: file}
	if err := p.write(fmt.Sprintf("%d\n", os.Getpid())); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return p, nil
}

func lock(file *os.File, patience time.Duration) error {
	err := setLock(file, unix.F_OFD_SETLK)
	if patience > 0 && isHeld(err) {
		err = awaitLock(file, patience)
	}
	if isHeld(err) {
		return fmt.Errorf("%w: process %s holds %s", ErrRunning, holder(file), file.Name())
	}
	if err != nil {
		return fmt.Errorf("cannot lock the pid file %s: %w", file.Name(), err)
	}
	return nil
}

func isHeld(err error) bool { return errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) }

// awaitLock waits for the lock. When it gives up, the waiting goroutine keeps
// the closed file alive until the lock is free or the process ends, whichever
// comes first; it then drops both.
func awaitLock(file *os.File, patience time.Duration) error {
	locked := make(chan error, 1)
	go func() { locked <- setLock(file, unix.F_OFD_SETLKW) }()
	select {
	case err := <-locked:
		return err
	case <-time.After(patience):
		return unix.EAGAIN
	}
}

// setLock calls fcntl(2) with the file held open for as long as that takes.
func setLock(file *os.File, command int) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var lockErr error
	err = raw.Control(func(fd uintptr) {
		whole := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
		for {
			if lockErr = unix.FcntlFlock(fd, command, &whole); !errors.Is(lockErr, unix.EINTR) {
				return
			}
		}
	})
	return errors.Join(err, lockErr)
}

// holder reads the pid in a file that another process has locked.
func holder(file *os.File) string {
	text, err := io.ReadAll(io.LimitReader(file, 32))
	pid := strings.TrimSpace(string(text))
	if err != nil || pid == "" {
		return "(unknown)"
	}
	return pid
}

// write replaces the file's text.
func (p *pidFile) write(text string) error {
	if err := p.file.Truncate(0); err != nil {
		return fmt.Errorf("cannot empty the pid file: %w", err)
	}
	if _, err := p.file.WriteAt([]byte(text), 0); err != nil {
		return fmt.Errorf("cannot write the pid file: %w", err)
	}
	return nil
}

// release empties the file and gives the instance up.
func (p *pidFile) release() error {
	return errors.Join(p.write(""), p.file.Close())
}
