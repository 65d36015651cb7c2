package netd

import (
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"unsafe"

	libvirt "github.com/digitalocean/go-libvirt"
	"golang.org/x/sys/unix"
)

// handOver gives the user of the process the folder of the leases, which it
// writes.
func handOver(spec *Spec) error {
	if spec.Gateway == nil || spec.Gateway.LeaseFile == "" {
		return nil
	}
	dir := filepath.Dir(spec.Gateway.LeaseFile)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return failed(libvirt.ErrSystemError, "cannot make the folder of the leases: %w", err)
	}
	for _, path := range []string{dir, spec.Gateway.LeaseFile} {
		if err := os.Lchown(path, spec.User.UID, spec.User.GID); err != nil && !os.IsNotExist(err) {
			return failed(libvirt.ErrSystemError, "cannot give the leases to the network's user: %w", err)
		}
	}
	return nil
}

// startConfined starts a process that can never get a right by executing a
// file. That is a setting of the thread that starts it, which ends therefore:
// a process cannot give it to all its threads at once when C is in its binary.
func startConfined(executable string, args []string, attr *os.ProcAttr) (child *os.Process, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked, so that it ends
		if err = unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err == nil {
			child, err = os.StartProcess(executable, args, attr)
		}
	}()
	<-done
	return child, err
}

// become makes the process the user, in all its threads, with nothing of root's
// but the right to ports below 1024 and, with devices, to change network
// devices. Threads that are made later inherit all of this.
func become(user *User, devices bool) error {
	// Without this the kernel takes all capabilities when root is left.
	err := everywhere(unix.SYS_PRCTL, unix.PR_SET_KEEPCAPS, 1, 0)
	// A binary with C in it, such as the race detector's, cannot do that in
	// all threads: it keeps no right at all.
	plain := err == syscall.ENOTSUP
	if err != nil && !plain {
		return cannotBecome(user, err)
	}
	if err := syscall.Setgroups(nil); err != nil {
		return cannotBecome(user, err)
	}
	if err := syscall.Setresgid(user.GID, user.GID, user.GID); err != nil {
		return cannotBecome(user, err)
	}
	if err := syscall.Setresuid(user.UID, user.UID, user.UID); err != nil {
		return cannotBecome(user, err)
	}
	if plain {
		return nil
	}
	rights := uint32(1) << unix.CAP_NET_BIND_SERVICE
	if devices {
		rights |= 1 << unix.CAP_NET_ADMIN
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	data := [2]unix.CapUserData{{Effective: rights, Permitted: rights}}
	err = everywhere(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&data[0])), 0)
	runtime.KeepAlive(&header)
	runtime.KeepAlive(&data)
	if err != nil {
		return cannotBecome(user, err)
	}
	return nil
}

// everywhere makes a system call on every thread.
func everywhere(call, a, b, c uintptr) error {
	if _, _, errno := syscall.AllThreadsSyscall(call, a, b, c); errno != 0 {
		return errno
	}
	return nil
}

func cannotBecome(user *User, err error) error {
	return failed(libvirt.ErrSystemError, "the network's process cannot become user %d and group %d: %w", user.UID, user.GID, err)
}
