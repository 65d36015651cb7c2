package nic

import (
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// cable is the copy of a guest's connection that is kept while networks come
// and go. It is a bare descriptor: one that Go's poller knew would wake this
// process for every frame that passes.
type cable struct{ fd int }

// newCable takes over a connection.
func newCable(conn *net.UnixConn) (*cable, error) {
	defer conn.Close()
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	c := &cable{}
	var failure error
	err = raw.Control(func(fd uintptr) { c.fd, failure = duplicate(int(fd)) })
	if err == nil {
		err = failure
	}
	return c, err
}

// copy returns another descriptor of the connection, which does not block.
func (c *cable) copy() (*os.File, error) {
	// Whoever was handed one before may have changed that for all.
	if err := unix.SetNonblock(c.fd, true); err != nil {
		return nil, err
	}
	fd, err := duplicate(c.fd)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "interface"), nil
}

func (c *cable) close() { _ = unix.Close(c.fd) }

func duplicate(fd int) (int, error) { return unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3) }
