package dac

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// Ledger is the file that remembers former owners.
type Ledger struct{ path string }

// Open returns the ledger at path, which is made when it is first needed.
func Open(path string) *Ledger { return &Ledger{path: path} }

// User is a numeric user and group.
type User struct{ UID, GID int }

// File is a file to give away. Write says that the user needs to write to it.
type File struct {
	Path  string
	Write bool
}

// entry is one file that was given away. Device and Inode tell whether Path
// still is that file.
type entry struct {
	Path          string
	Device, Inode uint64
	// From owned the file before, To owns it now.
	From, To User
	// Holders are who needs the file.
	Holders []string
}

// Give makes user the owner of the files on behalf of holder. A file that the
// user can use as it is, and that nobody was given, stays as it is; so does
// one whose file system knows no owners: whether that is enough shows when it
// is opened.
func (l *Ledger) Give(holder string, user User, files []File) error {
	return l.update(func(entries []entry, save func([]entry) error) ([]entry, error) {
		for _, file := range files {
			var err error
			if entries, err = give(entries, save, holder, user, file); err != nil {
				return entries, err
			}
		}
		return entries, nil
	})
}

func give(entries []entry, save func([]entry) error, holder string, user User, file File) ([]entry, error) {
	st, fd, err := look(file.Path)
	if err != nil {
		return entries, err
	}
	defer unix.Close(fd)
	i := slices.IndexFunc(entries, func(e entry) bool { return e.Device == st.Dev && e.Inode == st.Ino })
	if i >= 0 && entries[i].To == user {
		if !slices.Contains(entries[i].Holders, holder) {
			entries[i].Holders = append(entries[i].Holders, holder)
		}
		return entries, save(entries)
	}
	if i < 0 && usable(st, user, file.Write) {
		return entries, nil
	}
	if i < 0 {
		entries = append(entries, entry{
			Path: file.Path, Device: st.Dev, Inode: st.Ino,
			From: User{int(st.Uid), int(st.Gid)}, Holders: []string{holder},
		})
		i = len(entries) - 1
	} else if !slices.Contains(entries[i].Holders, holder) {
		entries[i].Holders = append(entries[i].Holders, holder)
	}
	entries[i].To = user
	// The record comes first: a crash in between leaves a file that is
	// given back to the owner it has.
	if err := save(entries); err != nil {
		return entries, err
	}
	return entries, chown(fd, file.Path, user)
}

// Return ends holder's need of all its files; those that nobody else needs go
// back to their owners. It goes on after an error and returns all of them.
func (l *Ledger) Return(holder string) error { return l.Keep(holder, nil) }

// Keep is Return for all but the files at the given paths. A path where no
// file is keeps none.
func (l *Ledger) Keep(holder string, paths []string) error {
	if _, err := os.Stat(l.path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	kept := identities(paths)
	return l.update(func(entries []entry, _ func([]entry) error) ([]entry, error) {
		var left []entry
		var failures []error
		for _, e := range entries {
			if !kept[identity{e.Device, e.Inode}] {
				e.Holders = slices.DeleteFunc(e.Holders, func(h string) bool { return h == holder })
			}
			if len(e.Holders) > 0 {
				left = append(left, e)
				continue
			}
			if err := e.restore(); err != nil {
				failures = append(failures, err)
			}
		}
		return left, errors.Join(failures...)
	})
}

// identity is which file a path leads to.
type identity struct{ device, inode uint64 }

func identities(paths []string) map[identity]bool {
	found := make(map[identity]bool)
	for _, path := range paths {
		st, fd, err := look(path)
		if err != nil {
			continue
		}
		unix.Close(fd)
		found[identity{st.Dev, st.Ino}] = true
	}
	return found
}

// restore gives one file back, unless it is another file by now or somebody
// has changed its owner since.
func (e entry) restore() error {
	st, fd, err := look(e.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if st.Dev != e.Device || st.Ino != e.Inode || int(st.Uid) != e.To.UID {
		return nil
	}
	return chown(fd, e.Path, e.From)
}

// look opens path without using it and tells what it is.
func look(path string) (*unix.Stat_t, int, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, -1, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return nil, -1, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	return &st, fd, nil
}

// chown changes the owner of an O_PATH descriptor. A file system that has no
// owners, or is read-only, is left alone.
func chown(fd int, path string, user User) error {
	err := unix.Fchownat(fd, "", user.UID, user.GID, unix.AT_EMPTY_PATH)
	switch err {
	case nil, unix.EPERM, unix.EROFS, unix.EOPNOTSUPP:
		return nil
	default:
		return fmt.Errorf("cannot give '%s' to user %d: %w", path, user.UID, err)
	}
}

// usable says whether the mode bits let user read, and write when asked, the
// file as it is.
func usable(st *unix.Stat_t, user User, write bool) bool {
	shift := 0
	switch {
	case int(st.Uid) == user.UID:
		shift = 6
	case int(st.Gid) == user.GID:
		shift = 3
	}
	need := uint32(4)
	if write {
		need = 6
	}
	return st.Mode>>shift&need == need
}

// update changes the ledger under a lock of its own file, which all
// supervisors of the instance take.
func (l *Ledger) update(change func([]entry, func([]entry) error) ([]entry, error)) error {
	lock, err := os.OpenFile(l.path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("cannot lock the owners' ledger: %w", err)
	}
	defer lock.Close()
	whole := unix.Flock_t{Type: unix.F_WRLCK}
	for {
		err := unix.FcntlFlock(lock.Fd(), unix.F_OFD_SETLKW, &whole)
		if err == nil {
			break
		}
		if err != unix.EINTR {
			return fmt.Errorf("cannot lock the owners' ledger %s: %w", lock.Name(), err)
		}
	}
	entries, err := l.read()
	if err != nil {
		return err
	}
	entries, err = change(entries, l.save)
	return errors.Join(err, l.save(entries))
}

func (l *Ledger) read() ([]entry, error) {
	text, err := os.ReadFile(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the owners' ledger: %w", err)
	}
	var entries []entry
	if err := json.Unmarshal(text, &entries); err != nil {
		return nil, fmt.Errorf("the owners' ledger %s is damaged; remove it after setting the owners of disk images by hand: %w", l.path, err)
	}
	return entries, nil
}

// save replaces the file at once. It is not made durable: after a crash of
// the host no guest is left that needs it.
func (l *Ledger) save(entries []entry) error {
	text, err := json.MarshalIndent(entries, "", "  ")
	if err != nil {
		return err
	}
	temp := l.path + ".new"
	if err := os.WriteFile(temp, text, 0o600); err != nil {
		return fmt.Errorf("cannot write the owners' ledger: %w", err)
	}
	return os.Rename(temp, l.path)
}
