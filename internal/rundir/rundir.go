// Package rundir is the folder of a process that outlives the daemon: small
// JSON files which are replaced at once, and sockets whose path may be longer
// than a socket's address can hold. It knows nothing of what the process does.
package rundir

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// WriteJSON replaces dir/name at once, with mode 0600. It is not made durable:
// after a crash of the host there is no process.
func WriteJSON(dir, name string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// ReadJSON reads what WriteJSON wrote. Without the file the error is
// fs.ErrNotExist.
func ReadJSON(dir, name string, v any) error {
	path := filepath.Join(dir, name)
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// Listen makes the socket dir/name (SOCK_SEQPACKET), which only its owner may
// connect to.
func Listen(dir, name string) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), name)
	// The mode of a socket's file is that of the socket, less the umask.
	err = unix.Fchmod(fd, 0o600)
	if err == nil {
		err = Within(dir, func(folder string) error {
			return unix.Bind(fd, &unix.SockaddrUnix{Name: folder + "/" + name})
		})
	}
	if err == nil {
		err = unix.Listen(fd, backlog)
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("cannot make the socket %s: %w", filepath.Join(dir, name), err)
	}
	return file, nil
}

// backlog is how many connections may wait to be accepted.
const backlog = 128

// Dial connects to the socket dir/name. fs.ErrNotExist and
// syscall.ECONNREFUSED say that nobody listens there.
func Dial(dir, name string) (*net.UnixConn, error) {
	var conn *net.UnixConn
	err := Within(dir, func(folder string) error {
		var err error
		conn, err = net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: folder + "/" + name, Net: "unixpacket"})
		return err
	})
	return conn, err
}

// Bound has reads and writes of conn fail once ctx ends. stop undoes that,
// whether ctx has ended or not.
func Bound(ctx context.Context, conn net.Conn) (stop func()) {
	set := make(chan struct{})
	cancel := context.AfterFunc(ctx, func() {
		defer close(set)
		_ = conn.SetDeadline(time.Unix(1, 0))
	})
	return func() {
		if !cancel() {
			<-set
		}
		_ = conn.SetDeadline(time.Time{})
	}
}

// Within calls use with a short name of the folder dir.
func Within(dir string, use func(folder string) error) error {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	defer unix.Close(fd)
	return use(fmt.Sprintf("/proc/self/fd/%d", fd))
}
