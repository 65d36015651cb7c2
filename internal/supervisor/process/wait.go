package process

import (
	"os"

	"golang.org/x/sys/unix"
)

// AwaitEnd returns when the process of a pidfd has ended, with an error when
// the descriptor is closed before. The pidfd must be one that does not block
// (PIDFD_NONBLOCK): the wait then costs a goroutine, where waitid(2) would
// keep a thread with all its stacks.
func AwaitEnd(pidfd *os.File) error {
	conn, err := pidfd.SyscallConn()
	if err != nil {
		return err
	}
	return conn.Read(func(fd uintptr) bool {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(poll, 0)
		return err == nil && n > 0
	})
}
