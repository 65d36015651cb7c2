// Package sock makes the daemon's listening unix sockets, or takes them over
// from the service manager. It knows files, modes and descriptors, not what is
// spoken on them.
package sock

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// MaxPath is the longest path of a unix socket in bytes: sun_path without its
// zero byte (unix(7)).
const MaxPath = 107

// KeepGroup leaves a socket with the group of the process.
const KeepGroup = -1

// probeTimeout bounds the look at a socket that is already there. A live
// listener answers at once; one whose queue is full is alive too.
const probeTimeout = time.Second

// Socket is a listening socket.
type Socket struct {
	*net.UnixListener
	// ReadOnly marks the socket on which clients may only look.
	ReadOnly bool
}

// Listen makes a socket at path with the mode and the group gid or KeepGroup.
// From its first moment nobody can connect whom the mode does not let. A
// socket that nobody listens on any more is replaced; the caller holds the
// daemon's lock, so that no two processes replace it at once. Closing the
// listener removes the file.
func Listen(ctx context.Context, path string, mode fs.FileMode, gid int) (*net.UnixListener, error) {
	if len(path) > MaxPath {
		return nil, fmt.Errorf("cannot listen on %s: the path has %d bytes, a unix socket's at most %d: choose a shorter folder", path, len(path), MaxPath)
	}
	if err := removeStale(ctx, path); err != nil {
		return nil, err
	}
	// The kernel makes the file with the mode of the unbound socket.
	closed := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if ctlErr := c.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), 0o600) }); ctlErr != nil {
			return ctlErr
		}
		return err
	}}
	l, err := closed.Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", path, innermost(err))
	}
	if err := open(path, mode, gid); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l.(*net.UnixListener), nil
}

// open lets in whom mode and group let in.
func open(path string, mode fs.FileMode, gid int) error {
	if gid != KeepGroup {
		if err := os.Lchown(path, -1, gid); err != nil {
			return fmt.Errorf("cannot give the socket to its group: %w", err)
		}
	}
	if err := os.Chmod(path, mode.Perm()); err != nil {
		return fmt.Errorf("cannot set the socket's mode: %w", err)
	}
	return nil
}

// removeStale removes the socket of a process that is gone, and refuses when
// the one there is in use or is no socket.
func removeStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("cannot look at the socket's place: %w", err)
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("cannot listen on %s: a file that is no socket is in the way", path)
	}
	dialer := net.Dialer{Timeout: probeTimeout}
	conn, err := dialer.DialContext(ctx, "unix", path)
	switch {
	case err == nil:
		return errors.Join(fmt.Errorf("cannot listen on %s: another process listens there", path), conn.Close())
	case !errors.Is(err, unix.ECONNREFUSED):
		return fmt.Errorf("cannot listen on %s: a socket is there and does not answer: %w", path, innermost(err))
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("cannot remove the socket of an earlier daemon: %w", err)
	}
	return nil
}

// innermost drops the path that net.OpError repeats.
func innermost(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}
