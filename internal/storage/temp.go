package storage

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"virtumld/internal/filelock"
	"virtumld/internal/storagexml"
)

// Files that are being made begin and end so; they are no volumes.
const (
	tempPrefix = ".virtumld-"
	tempSuffix = ".tmp"
)

func isTemp(name string) bool {
	return strings.HasPrefix(name, tempPrefix) && strings.HasSuffix(name, tempSuffix)
}

// makeFile makes the file name with the content that fill gives it. The name
// appears once everything is on disk; when anything fails nothing is left.
func (d *dir) makeFile(ctx context.Context, name string, perms storagexml.Permissions, fill func(*os.File) error) error {
	temp := tempPrefix + rand.Text() + tempSuffix
	f, err := d.openMode(temp, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, 0o600)
	if err != nil {
		return systemErr(err, "Failed to create file '%s'", d.join(name))
	}
	// The lock tells a cleanup, of another daemon too, that f is no leftover.
	err = filelock.Lock(f, filelock.Exclusive)
	if err == nil {
		err = d.finish(ctx, f, temp, name, perms, fill)
	}
	if err != nil {
		err = errors.Join(err, d.discard(temp))
	}
	if closeErr := f.Close(); err == nil && closeErr != nil {
		err = systemErr(closeErr, "cannot close file '%s'", d.join(name))
	}
	return err
}

func (d *dir) finish(ctx context.Context, f *os.File, temp, name string, perms storagexml.Permissions, fill func(*os.File) error) error {
	if err := fill(f); err != nil {
		return err
	}
	if err := setPerms(f, d.join(name), perms, 0o600); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return systemErr(err, "cannot sync data to file '%s'", d.join(name))
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := d.rename(temp, name); err != nil {
		return systemErr(err, "Failed to create file '%s'", d.join(name))
	}
	if err := d.f.Sync(); err != nil {
		return errors.Join(systemErr(err, "cannot sync folder '%s'", d.f.Name()), d.discard(name))
	}
	return nil
}

// discard removes a file that may be gone already.
func (d *dir) discard(name string) error {
	if err := d.unlink(name); err != nil && !errors.Is(err, unix.ENOENT) {
		return systemErr(err, "cannot remove '%s'", d.join(name))
	}
	return nil
}

// cleanTemps removes what a killed daemon has left of unfinished volumes.
func (d *dir) cleanTemps(names []string) error {
	var errs []error
	for _, name := range names {
		if !isTemp(name) {
			continue
		}
		f, err := d.open(name, unix.O_RDWR)
		if err != nil {
			continue // gone meanwhile, or nothing of ours
		}
		if filelock.Lock(f, filelock.Exclusive) == nil {
			errs = append(errs, d.discard(name))
		}
		f.Close()
	}
	return errors.Join(errs...)
}

// setPerms gives f, which will be known as path, the permissions that were
// asked for, or else defaultMode.
func setPerms(f *os.File, path string, perms storagexml.Permissions, defaultMode uint32) error {
	mode := defaultMode
	if perms.Mode != nil {
		mode = *perms.Mode
	}
	if err := setOwner(f, path, perms); err != nil {
		return err
	}
	if err := unix.Fchmod(int(f.Fd()), mode); err != nil {
		return systemErr(err, "cannot set mode of '%s' to %04o", path, mode)
	}
	return nil
}

func setOwner(f *os.File, path string, perms storagexml.Permissions) error {
	owner, group := -1, -1
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return systemErr(err, "stat of '%s' failed", path)
	}
	if perms.Owner != nil && *perms.Owner != int(st.Uid) {
		owner = *perms.Owner
	}
	if perms.Group != nil && *perms.Group != int(st.Gid) {
		group = *perms.Group
	}
	if owner == -1 && group == -1 {
		return nil
	}
	if err := unix.Fchown(int(f.Fd()), owner, group); err != nil {
		return systemErr(err, "cannot chown '%s' to (%d, %d)", path, owner, group)
	}
	return nil
}
