package storage

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// nameMax is Linux's longest file name in bytes (limits.h, NAME_MAX).
const nameMax = 255

// dir is an open pool folder. Every access names one entry of it, checked to
// be a plain file name, and follows no symbolic link, so that none leaves the
// folder whatever others put there meanwhile.
type dir struct {
	f *os.File
}

func openDir(path string) (*dir, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, systemErr(err, "cannot open directory '%s'", path)
	}
	return &dir{os.NewFile(uintptr(fd), path)}, nil
}

func (d *dir) Close() error { return d.f.Close() }

func (d *dir) fd() int { return int(d.f.Fd()) }

func (d *dir) join(name string) string { return filepath.Join(d.f.Name(), name) }

// checkName returns why name cannot be an entry of a folder, "" when it can.
func checkName(name string) string {
	switch {
	case name == "" || name == "." || name == "..":
		return "is not a file name"
	case strings.Contains(name, "/"):
		return "cannot contain '/'"
	case len(name) > nameMax:
		return "is longer than 255 bytes"
	case strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return "cannot contain control characters"
	case isTemp(name):
		return "is kept for files that are being made"
	}
	return ""
}

// open opens the entry name, never through a symbolic link (ELOOP), never
// waiting for a FIFO's other end.
func (d *dir) open(name string, flags int) (*os.File, error) {
	return d.openMode(name, flags, 0)
}

func (d *dir) openMode(name string, flags int, mode uint32) (*os.File, error) {
	if !isTemp(name) && checkName(name) != "" {
		return nil, unix.EINVAL
	}
	for {
		fd, err := unix.Openat(d.fd(), name, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, mode)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, err
		}
		return os.NewFile(uintptr(fd), d.join(name)), nil
	}
}

// stat describes the entry name itself.
func (d *dir) stat(name string) (unix.Stat_t, error) {
	var st unix.Stat_t
	err := unix.Fstatat(d.fd(), name, &st, unix.AT_SYMLINK_NOFOLLOW)
	return st, err
}

func (d *dir) unlink(name string) error { return unix.Unlinkat(d.fd(), name, 0) }

func (d *dir) rmdir(name string) error { return unix.Unlinkat(d.fd(), name, unix.AT_REMOVEDIR) }

// rename gives from the name to, unless that is taken (EEXIST).
func (d *dir) rename(from, to string) error {
	err := unix.Renameat2(d.fd(), from, d.fd(), to, unix.RENAME_NOREPLACE)
	if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSYS) {
		return err
	}
	// The filesystem knows no such rename; a hard link replaces nothing either.
	if err := unix.Linkat(d.fd(), from, d.fd(), to, 0); err != nil {
		return err
	}
	return d.unlink(from)
}
