package contain

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// tree is a file of the host that is mounted nowhere yet.
type tree struct {
	Bind
	fd  int
	dir bool
}

// apply takes the files from the host's mounts into the guest's.
func (c *Changes) apply() error {
	runtime.LockOSThread() // namespaces are a thread's
	unix.Umask(0o022)
	// A user namespace may copy mounts of its own mount namespace only: of one
	// that is a copy of the host's, which this process has for itself.
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return failed(StageNamespace, "copy the host's mounts", "", err)
	}
	var trees []tree
	for _, b := range c.Add {
		t, err := newTree(b)
		if err != nil {
			return err
		}
		trees = append(trees, t)
	}
	if err := unix.Setns(mountsFD, unix.CLONE_NEWNS); err != nil {
		return failed(StageNamespace, "enter the guest's mounts", "", err)
	}
	if err := addAll(trees); err != nil {
		return err
	}
	return removeAll(c.Remove)
}

// newTree copies the mount of a file of the host.
func newTree(b Bind) (tree, error) {
	info, err := os.Stat(b.Host)
	if err != nil {
		return tree{}, failed(StageFile, "open", b.Host, err)
	}
	fd, err := unix.OpenTree(unix.AT_FDCWD, b.Host, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return tree{}, failed(StageNamespace, "mount", b.Host, err)
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NOSUID, Propagation: unix.MS_PRIVATE}
	if b.ReadOnly {
		attr.Attr_set |= unix.MOUNT_ATTR_RDONLY
	}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &attr); err != nil {
		return tree{}, failed(StageNamespace, "restrict the mount of", b.Host, err)
	}
	return tree{b, fd, info.IsDir()}, nil
}

// addAll mounts the trees, or none of them.
func addAll(trees []tree) error {
	if len(trees) == 0 {
		return nil
	}
	root, err := writableRoot()
	if err != nil {
		return err
	}
	defer root.Close()
	var added []string
	for _, t := range trees {
		if err := t.add(root); err != nil {
			return errors.Join(err, removeAll(added))
		}
		added = append(added, t.Guest)
	}
	return nil
}

// writableRoot is the guest's root, in which this process alone can make mount
// points: the mount that the guest has stays read-only.
func writableRoot() (*os.Root, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, "/", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return nil, failed(StageNamespace, "copy the guest's root", "", err)
	}
	defer unix.Close(fd)
	attr := unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		return nil, failed(StageNamespace, "write to the guest's root", "", err)
	}
	if err := unix.Fchdir(fd); err != nil {
		return nil, failed(StageSetup, "enter", "the guest's root", err)
	}
	return os.OpenRoot(".")
}

func (t tree) add(root *os.Root) error {
	inside := filepath.Clean("/" + t.Guest)
	if err := makeMountPoint(root, inside[1:], t.dir); err != nil {
		return failed(StageSetup, "make the mount point", inside, err)
	}
	if err := unix.MoveMount(t.fd, "", unix.AT_FDCWD, inside, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return failed(StageNamespace, "mount", t.Host, err)
	}
	return nil
}

// removeAll unmounts files of the guest, those that it still has open included.
// The mount points stay.
func removeAll(paths []string) error {
	var failures []error
	for _, path := range paths {
		if err := unix.Unmount(filepath.Clean("/"+path), unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && err != unix.EINVAL {
			failures = append(failures, failed(StageSetup, "unmount", path, err))
		}
	}
	return errors.Join(failures...)
}
