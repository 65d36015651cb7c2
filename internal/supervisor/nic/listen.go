package nic

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// backlog is how many connections may wait. The kernel's connect(2) blocks the
// whole guest when there is no room.
const backlog = 16

// Name is the name of the socket of a unit.
func Name(unit int) string { return "vec" + strconv.Itoa(unit) }

// listen makes the socket of a unit in the folder dir, whose path may be of
// any length, for the user of that uid and gid.
func listen(dir string, unit, uid, gid int) (*net.UnixListener, error) {
	path := filepath.Join(dir, Name(unit))
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	file, err := bound(dir, Name(unit))
	if err != nil {
		return nil, fmt.Errorf("cannot listen at %s: %w", path, err)
	}
	defer file.Close()
	if uid != os.Geteuid() {
		if err := os.Lchown(path, uid, gid); err != nil {
			return nil, errors.Join(err, os.Remove(path))
		}
	}
	listener, err := net.FileListener(file)
	if err != nil {
		return nil, errors.Join(err, os.Remove(path))
	}
	// It is made of a socket of SOCK_SEQPACKET, so it is one of these.
	return listener.(*net.UnixListener), nil
}

func bound(dir, name string) (*os.File, error) {
	folder, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(folder)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), name)
	err = unix.Bind(fd, &unix.SockaddrUnix{Name: fmt.Sprintf("/proc/self/fd/%d/%s", folder, name)})
	if err == nil {
		err = unix.Listen(fd, backlog)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// isPeer reports whether the process at the other end of conn is uid's.
func isPeer(conn *net.UnixConn, uid int) bool {
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	var credentials *unix.Ucred
	var failure error
	err = raw.Control(func(fd uintptr) {
		credentials, failure = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	return err == nil && failure == nil && int(credentials.Uid) == uid
}
