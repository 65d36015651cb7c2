// Package filelock takes open file description locks (fcntl(2)) on whole
// files. They clash with the locks that a UML kernel takes itself, with those
// of other processes, and with those of another open of the same file in this
// process. The package knows neither guests nor volumes.
package filelock

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Kind is how a file is locked.
type Kind int16

const (
	// Shared locks may be held by many, while nobody holds an exclusive one.
	Shared Kind = unix.F_RDLCK
	// Exclusive locks are held alone; the file must be open for writing.
	Exclusive Kind = unix.F_WRLCK
)

// ErrHeld says that somebody else holds a lock that clashes.
var ErrHeld = errors.New("locked by somebody else")

// Lock locks f until it is closed. It never waits: the error is then ErrHeld.
func Lock(f *os.File, kind Kind) error {
	err := control(f, &unix.Flock_t{Type: int16(kind)})
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return ErrHeld
	}
	if err != nil {
		return fmt.Errorf("cannot lock '%s': %w", f.Name(), err)
	}
	return nil
}

// control keeps f open while the system call runs.
func control(f *os.File, lock *unix.Flock_t) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var lockErr error
	if err := conn.Control(func(fd uintptr) {
		lockErr = unix.FcntlFlock(fd, unix.F_OFD_SETLK, lock)
	}); err != nil {
		return err
	}
	return lockErr
}
