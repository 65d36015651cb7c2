package mconsole

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// openSocket makes a datagram socket that is bound and connected to the guest
// at path. It must be bound: an unbound client's command runs but its answer
// is lost. It must be connected, so that only that guest can answer.
func (c *Client) openSocket() (*os.File, func(), error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("mconsole: cannot make a socket: %w", err)
	}
	file := os.NewFile(uintptr(fd), "mconsole")
	remove, err := bind(fd, c.replyDir)
	if err != nil {
		file.Close()
		return nil, nil, err
	}
	closeSocket := func() { file.Close(); remove() }
	if err := connect(fd, c.path); err != nil {
		closeSocket()
		return nil, nil, err
	}
	return file, closeSocket, nil
}

// connect connects fd to the socket at path. The socket, its umid folder and
// the uml_dir around that may belong to the guest's user, so neither the socket
// nor its folder is reached through a link, and the socket is looked at before
// use; going through the descriptor also lifts the limit of 107 bytes on a
// socket's path.
func connect(fd int, path string) error {
	target, err := openNoFollow(path)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return fmt.Errorf("%w: %s: %w", ErrNoGuest, path, err)
	}
	if err != nil {
		return fmt.Errorf("mconsole: cannot open %s: %w", path, err)
	}
	defer unix.Close(target)
	var st unix.Stat_t
	if err := unix.Fstat(target, &st); err != nil {
		return fmt.Errorf("mconsole: cannot stat %s: %w", path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return fmt.Errorf("mconsole: %s is not a socket", path)
	}
	err = unix.Connect(fd, &unix.SockaddrUnix{Name: descriptorPath(target)})
	if errors.Is(err, unix.ECONNREFUSED) {
		return fmt.Errorf("%w: %s: %w", ErrNoGuest, path, err)
	}
	if err != nil {
		return fmt.Errorf("mconsole: cannot connect to %s: %w", path, err)
	}
	return nil
}

// openNoFollow opens path when neither it nor its folder is a symbolic link.
func openNoFollow(path string) (int, error) {
	const look = unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC
	dir, err := unix.Open(filepath.Dir(path), look|unix.O_DIRECTORY, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(dir)
	return unix.Openat(dir, filepath.Base(path), look, 0)
}

// bind gives fd an address to be answered at and returns what removes it.
// Without a reply folder the kernel picks an abstract address, which only a
// guest in our own network namespace can reach.
func bind(fd int, dir string) (remove func(), err error) {
	if dir == "" {
		if err := unix.Bind(fd, &unix.SockaddrUnix{}); err != nil {
			return nil, fmt.Errorf("mconsole: cannot bind a socket: %w", err)
		}
		return func() {}, nil
	}
	dirfd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("mconsole: cannot open the reply folder %s: %w", dir, err)
	}
	name := replyName()
	if err := bindRelative(fd, dirfd, name); err != nil {
		unix.Close(dirfd)
		return nil, fmt.Errorf("mconsole: cannot bind a socket in %s: %w", dir, err)
	}
	return func() {
		unix.Unlinkat(dirfd, name, 0) // a guest that removed it itself is no error
		unix.Close(dirfd)
	}, nil
}

// bindRelative binds fd to a bare name in the folder dirfd, so that a process
// with another mount namespace finds it when its working folder is that same
// folder. The working folder and the umask belong to a thread of its own,
// which ends with the goroutine because it is never unlocked.
func bindRelative(fd, dirfd int, name string) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		result <- func() error {
			if err := unix.Unshare(unix.CLONE_FS); err != nil {
				return err
			}
			unix.Umask(0) // the guest's user must be able to write to it
			if err := unix.Fchdir(dirfd); err != nil {
				return err
			}
			return unix.Bind(fd, &unix.SockaddrUnix{Name: name})
		}()
	}()
	return <-result
}

// descriptorPath names an open descriptor of this process.
func descriptorPath(fd int) string { return fmt.Sprintf("/proc/self/fd/%d", fd) }
