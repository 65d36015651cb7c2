package store

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Temporary files begin and end so; no domain's file ends in ".tmp".
const (
	tempPrefix = ".virtumld-"
	tempSuffix = ".tmp"
)

// Durability says what a change survives.
type Durability bool

const (
	// Durable changes survive a power cut once the call has returned.
	Durable Durability = true
	// Volatile changes survive the daemon but not the host; they are for
	// folders that the host itself forgets.
	Volatile Durability = false
)

// disk is what a folder needs of its filesystem. Its names are relative to the
// folder and cannot leave it.
type disk interface {
	// Create makes a file that was not there, mode 0600.
	Create(name string) (file, error)
	Rename(from, to string) error
	Remove(name string) error
	Symlink(target, name string) error
	// Sync makes the folder's own entries durable.
	Sync() error
}

type file interface {
	io.WriteCloser
	Sync() error
}

// rootDisk is the real disk.
type rootDisk struct{ *os.Root }

func (d rootDisk) Create(name string) (file, error) {
	return d.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
}

func (d rootDisk) Sync() error {
	dir, err := d.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Folder is one folder whose files change atomically. Its methods may be called
// at the same time.
type Folder struct {
	path string
	root *os.Root // for reading
	disk disk     // for changes
	sync groupSync
}

// Close lets go of the folder.
func (f *Folder) Close() error { return f.root.Close() }

// Join is the absolute path of a file in f.
func (f *Folder) Join(name string) string { return filepath.Join(f.path, name) }

// clean removes what an interrupted replace left.
func (f *Folder) clean() error {
	entries, err := fs.ReadDir(f.root.FS(), ".")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), tempPrefix) && strings.HasSuffix(e.Name(), tempSuffix) {
			if err := f.disk.Remove(e.Name()); err != nil {
				return err
			}
		}
	}
	return nil
}

// Replace gives the file name the content data: whoever looks, after a crash
// too, finds the old content or the new.
func (f *Folder) Replace(name string, data []byte, d Durability) error {
	temp := tempName()
	if err := f.write(temp, data, d); err != nil {
		return errors.Join(fmt.Errorf("cannot write %s: %w", f.Join(name), err), f.discard(temp))
	}
	if err := f.disk.Rename(temp, name); err != nil {
		return errors.Join(fmt.Errorf("cannot replace %s: %w", f.Join(name), err), f.discard(temp))
	}
	return f.settle(d)
}

// Link makes name a symbolic link to target.
func (f *Folder) Link(target, name string, d Durability) error {
	temp := tempName()
	if err := f.disk.Symlink(target, temp); err != nil {
		return fmt.Errorf("cannot make link %s: %w", f.Join(name), err)
	}
	if err := f.disk.Rename(temp, name); err != nil {
		return errors.Join(fmt.Errorf("cannot make link %s: %w", f.Join(name), err), f.discard(temp))
	}
	return f.settle(d)
}

// Remove removes name; it is no error when there is none.
func (f *Folder) Remove(name string, d Durability) error {
	err := f.disk.Remove(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot remove %s: %w", f.Join(name), err)
	}
	return f.settle(d)
}

func (f *Folder) write(name string, data []byte, d Durability) error {
	out, err := f.disk.Create(name)
	if err != nil {
		return err
	}
	_, err = out.Write(data)
	if err == nil && d == Durable {
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}

// settle makes the entries that have changed durable.
func (f *Folder) settle(d Durability) error {
	if d == Volatile {
		return nil
	}
	if err := f.sync.do(f.disk.Sync); err != nil {
		return fmt.Errorf("cannot sync folder %s: %w", f.path, err)
	}
	return nil
}

// discard removes a temporary file that may never have been made.
func (f *Folder) discard(temp string) error {
	if err := f.disk.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func tempName() string { return tempPrefix + rand.Text() + tempSuffix }
