package contain

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// devices are the host's device nodes that every guest gets.
var devices = []string{"/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"}

// buildRoot makes plan.Root the root of the calling process's mount
// namespace: a read-only tmpfs that holds the plan's binds, a /dev/shm and a
// /proc of its own, and four devices.
func buildRoot(plan *Plan) error {
	// The guest's user has to find its way through folders that root makes.
	defer unix.Umask(unix.Umask(0o022))
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return failed(StageNamespace, "make mounts private", "", err)
	}
	if err := unix.Mount("guest", plan.Root, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755,size=1m"); err != nil {
		return failed(StageNamespace, "mount a tmpfs on", plan.Root, err)
	}
	root, err := os.OpenRoot(plan.Root)
	if err != nil {
		return failed(StageSetup, "open", plan.Root, err)
	}
	defer root.Close()
	// First, so that a file bound below /dev/shm lies on top.
	if err := mountOwn(plan); err != nil {
		return err
	}
	for _, device := range devices {
		if err := bind(root, Bind{Host: device, Guest: device}); err != nil {
			return err
		}
	}
	for _, b := range plan.Binds {
		if err := bind(root, b); err != nil {
			return err
		}
	}
	for _, folder := range plan.Folders {
		if err := os.MkdirAll(filepath.Join(plan.Root, folder), 0o755); err != nil {
			return failed(StageSetup, "make", folder, err)
		}
	}
	return enterRoot(plan.Root)
}

// mountOwn mounts what is the guest's alone.
func mountOwn(plan *Plan) error {
	shm := filepath.Join(plan.Root, "dev/shm")
	proc := filepath.Join(plan.Root, "proc")
	for _, dir := range []string{shm, proc} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return failed(StageSetup, "make", dir, err)
		}
	}
	// The kernel maps its memory from here with PROT_EXEC.
	options := "mode=1777"
	if plan.ShmBytes > 0 {
		options += fmt.Sprintf(",size=%d", plan.ShmBytes)
	}
	if err := unix.Mount("shm", shm, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		return failed(StageNamespace, "mount the guest's memory on", shm, err)
	}
	err := unix.Mount("proc", proc, "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC|unix.MS_RDONLY, "")
	if err != nil && err != unix.EPERM {
		return failed(StageNamespace, "mount", proc, err)
	}
	// EPERM: inside a container whose own /proc is masked. The kernel only
	// reads the host's processor flags there and does without them.
	return nil
}

// bind puts one file or folder into the root. Its mount point is made by way of
// an os.Root: one of the binds is a folder that the guest can write to, and a
// link that it made there must not lead this process, which is root, out.
func bind(root *os.Root, b Bind) error {
	info, err := os.Stat(b.Host)
	if err != nil {
		return failed(StageFile, "open", b.Host, err)
	}
	inside := filepath.Clean("/" + b.Guest)[1:]
	target := filepath.Join(root.Name(), inside)
	if err := makeMountPoint(root, inside, info.IsDir()); err != nil {
		return failed(StageSetup, "make", target, err)
	}
	// Recursive: a mount that was there before the user namespace cannot be
	// left out of a copy of its parent.
	if err := unix.Mount(b.Host, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		stage := StageNamespace
		if err == unix.ENOENT || err == unix.EACCES {
			stage = StageFile
		}
		return failed(stage, "mount", b.Host, err)
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NOSUID}
	if b.ReadOnly {
		attr.Attr_set |= unix.MOUNT_ATTR_RDONLY
	}
	if err := unix.MountSetattr(unix.AT_FDCWD, target, unix.AT_RECURSIVE, &attr); err != nil {
		return failed(StageNamespace, "restrict the mount of", b.Host, err)
	}
	return nil
}

func makeMountPoint(root *os.Root, inside string, dir bool) error {
	if dir {
		return root.MkdirAll(inside, 0o755)
	}
	if err := root.MkdirAll(filepath.Dir(inside), 0o755); err != nil {
		return err
	}
	f, err := root.OpenFile(inside, os.O_CREATE|os.O_RDONLY, 0o644)
	if err != nil {
		return err
	}
	return f.Close()
}

// enterRoot makes root the root and drops the host's. pivot_root with both
// arguments the same stacks the old root on the new one (pivot_root(2)).
func enterRoot(root string) error {
	if err := os.Chdir(root); err != nil {
		return failed(StageSetup, "enter", root, err)
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return failed(StageNamespace, "change the root to", root, err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return failed(StageNamespace, "leave the host's root for", root, err)
	}
	if err := os.Chdir("/"); err != nil {
		return failed(StageSetup, "enter", "/", err)
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(unix.AT_FDCWD, "/", 0, &attr); err != nil {
		return failed(StageNamespace, "make the root read-only", "", err)
	}
	return nil
}
