package dispatch

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"

	"virtumld/internal/driver"
)

// peerOf asks the kernel who is at the other end of a unix socket.
func peerOf(conn net.Conn) (driver.Peer, error) {
	socket, ok := conn.(*net.UnixConn)
	if !ok {
		return driver.Peer{}, fmt.Errorf("cannot tell who is at the other end of a %T", conn)
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return driver.Peer{}, fmt.Errorf("cannot read the peer's credentials: %w", err)
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return driver.Peer{}, fmt.Errorf("cannot read the peer's credentials: %w", err)
	}
	if credErr != nil {
		return driver.Peer{}, fmt.Errorf("cannot read the peer's credentials: %w", credErr)
	}
	return driver.Peer{PID: cred.Pid, UID: cred.Uid, GID: cred.Gid}, nil
}
