package mconsole

import (
	"errors"
	"fmt"
	"syscall"
)

var (
	// ErrTimeout says that the guest did not answer in time. Its command may
	// still run later.
	ErrTimeout = errors.New("the guest does not answer on its management console")
	// ErrNoGuest says that no kernel holds the management console's socket:
	// the guest has ended, is restarting, or has not opened it yet.
	ErrNoGuest = errors.New("no guest holds the management console")
	// ErrTooLong says that a command exceeds MaxCommand.
	ErrTooLong = errors.New("command too long for the management console")
	// ErrBadCommand says that an argument would be read as another command
	// or file than the one meant.
	ErrBadCommand = errors.New("argument not fit for the management console")
)

// Error is a guest's refusal of a command.
type Error struct {
	// Err is the reply's code: 1, or a negative errno of the guest's.
	Err int32
	// Text is the kernel's explanation, which may be empty.
	Text string
}

// Error returns the kernel's text and, where it has one, the errno's name.
func (e *Error) Error() string {
	switch {
	case e.Err >= 0 && e.Text != "":
		return e.Text
	case e.Err >= 0:
		return fmt.Sprintf("the guest refused with code %d", e.Err)
	case e.Text == "":
		return e.errno().Error()
	default:
		return fmt.Sprintf("%s (%s)", e.Text, e.errno())
	}
}

// Is lets errors.Is compare a negative code with a syscall.Errno.
func (e *Error) Is(target error) bool {
	errno, ok := target.(syscall.Errno)
	return ok && e.Err < 0 && errno == e.errno()
}

func (e *Error) errno() syscall.Errno { return syscall.Errno(-int64(e.Err)) }
