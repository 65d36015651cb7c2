package mconsole

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// notifyBacklog is how many notifications wait for a slow reader. Messages
// that the guest's processes can send at will may fill only half of it, so
// that they never push out a panic.
const notifyBacklog = 64

// Listener receives a guest's notifications (the kernel option
// mconsole=notify:PATH). The kernel sends them with a blocking call, so the
// Listener reads at all times, whether or not anybody takes them.
type Listener struct {
	path    string
	socket  *os.File
	notices chan Notification
	dropped atomic.Uint64
}

// Listen binds a notify socket at path and starts to read it. A stale socket
// of that name is replaced. The kernel names the path in at most 107 bytes as
// the guest sees it, and needs write permission on the socket: a caller whose
// guest runs as another user gives it the socket.
func Listen(path string) (*Listener, error) {
	fd, err := bindPath(path, unix.SOCK_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("mconsole: cannot listen for notifications at %s: %w", path, err)
	}
	l := &Listener{
		path:    path,
		socket:  os.NewFile(uintptr(fd), "mconsole-notify"),
		notices: make(chan Notification, notifyBacklog),
	}
	go l.read()
	return l, nil
}

// Notifications delivers what the guest reports, in order. It is closed by
// Close.
func (l *Listener) Notifications() <-chan Notification { return l.notices }

// Dropped counts the packets that were not understood or not taken in time.
func (l *Listener) Dropped() uint64 { return l.dropped.Load() }

// Close ends the reading and removes the socket.
func (l *Listener) Close() error {
	err := l.socket.Close()
	if removeErr := os.Remove(l.path); err == nil && !os.IsNotExist(removeErr) {
		err = removeErr
	}
	return err
}

func (l *Listener) read() {
	defer close(l.notices)
	buffer := make([]byte, notifyHeader+maxData+1)
	for {
		n, err := l.socket.Read(buffer)
		if err != nil && !errors.Is(err, io.EOF) { // EOF is an empty packet
			return
		}
		notice, err := ParseNotify(buffer[:n])
		if err != nil || !l.deliver(notice) {
			l.dropped.Add(1)
		}
	}
}

func (l *Listener) deliver(notice Notification) bool {
	if notice.Type == User && len(l.notices) >= notifyBacklog/2 {
		return false
	}
	select {
	case l.notices <- notice:
		return true
	default:
		return false
	}
}

// bindPath makes a datagram socket at path, of any length. flags are added to
// the socket's type.
func bindPath(path string, flags int) (int, error) {
	dir, err := unix.Open(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(dir)
	name := filepath.Base(path)
	if err := removeStale(dir, name); err != nil {
		return -1, err
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|flags, 0)
	if err != nil {
		return -1, err
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: descriptorPath(dir) + "/" + name}); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// removeStale removes a socket left by an earlier process, and nothing else.
func removeStale(dir int, name string) error {
	var st unix.Stat_t
	err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	if err == unix.ENOENT {
		return nil
	}
	if err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return fmt.Errorf("%s is there and is not a socket: %w", name, unix.EEXIST)
	}
	return unix.Unlinkat(dir, name, 0)
}
