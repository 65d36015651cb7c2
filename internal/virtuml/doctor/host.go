package doctor

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"virtumld/internal/uml/kernel"
	"virtumld/internal/virtuml/connect"
)

// Host is what the checks look at.
type Host struct {
	// ReadFile reads a small file.
	ReadFile func(path string) (string, error)
	// Access tells whether this user may read and write a file.
	Access func(path string) error
	// Statfs describes the file system of a folder.
	Statfs func(path string) (Mount, error)
	// LookPath finds a program.
	LookPath func(name string) (string, error)
	// Namespaces tells whether this user can make namespaces.
	Namespaces func() error
	// Kernel finds and asks the host's User Mode Linux kernel.
	Kernel func(ctx context.Context) (*kernel.Caps, error)
	// Daemon is the version of libvirt's API that the daemon speaks.
	Daemon func(ctx context.Context) (string, error)

	kernel    *kernel.Caps // set by examineKernel, as is kernelErr
	kernelErr error
}

// Mount is a mounted file system: Free is in bytes.
type Mount struct {
	NoExec bool
	Free   uint64
}

func (h *Host) examineKernel(ctx context.Context) { h.kernel, h.kernelErr = h.Kernel(ctx) }

// ThisHost is the real one, with the daemon of the URI.
func ThisHost(uri string) *Host {
	return &Host{
		ReadFile: func(path string) (string, error) {
			data, err := os.ReadFile(path)
			return string(data), err
		},
		Access:     func(path string) error { return access(path) },
		Statfs:     statfs,
		LookPath:   lookPath,
		Namespaces: sync.OnceValue(namespaces),
		Kernel:     findKernel,
		Daemon:     func(ctx context.Context) (string, error) { return askDaemon(ctx, uri) },
	}
}

func access(path string) error {
	if err := unix.Access(path, unix.R_OK|unix.W_OK); err != nil {
		return &os.PathError{Op: "access", Path: path, Err: err}
	}
	return nil
}

func statfs(path string) (Mount, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return Mount{}, err
	}
	return Mount{NoExec: s.Flags&unix.ST_NOEXEC != 0, Free: s.Bavail * uint64(s.Bsize)}, nil
}

// lookPath also looks where an ordinary user's PATH does not.
func lookPath(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", err
}

// namespaces starts this program in namespaces like a guest's.
func namespaces() error {
	cmd := exec.Command("/proc/self/exe", "--version")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
	}
	if os.Geteuid() == 0 { // whose guests need no user namespace
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET}
	}
	return cmd.Run()
}

func findKernel(ctx context.Context) (*kernel.Caps, error) {
	path, err := kernel.Find(os.Getenv("PATH"))
	if err != nil {
		return nil, err
	}
	return kernel.NewProber("", nil).Probe(ctx, path)
}

// askDaemon connects as virtuml run would.
func askDaemon(ctx context.Context, uri string) (string, error) {
	l, err := connect.Dial(ctx, uri)
	if err != nil {
		return "", err
	}
	defer func() { _ = l.Disconnect() }()
	v, err := l.ConnectGetLibVersion()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d.%d.%d", v/1_000_000, v/1000%1000, v%1000), nil
}
