package supervisor

import (
	"errors"
	"os"

	libvirt "github.com/digitalocean/go-libvirt"
	"golang.org/x/sys/unix"

	"virtumld/internal/filelock"
	"virtumld/internal/virerr"
)

// lockAll locks all that the guest's specification names.
func (g *guest) lockAll() (err error) {
	if g.held.locks, err = lockFiles(g.spec.Files); err != nil {
		return err
	}
	g.held.diskLocks = make(map[int][]*os.File)
	for _, disk := range g.spec.Disks {
		if g.held.diskLocks[disk.Unit], err = lockFiles(disk.Files); err != nil {
			return err
		}
	}
	return nil
}

func (g *guest) unlockAll() {
	closeAll(g.held.locks)
	g.held.locks = nil
	for _, locks := range g.held.diskLocks {
		closeAll(locks)
	}
	g.held.diskLocks = nil
}

// lockFiles locks what files ask for and returns what holds the locks.
func lockFiles(files []File) ([]*os.File, error) {
	var held []*os.File
	for _, file := range files {
		if file.Lock == LockNone {
			continue
		}
		f, err := lockFile(file)
		if err != nil {
			closeAll(held)
			return nil, err
		}
		held = append(held, f)
	}
	return held, nil
}

// lockFile opens the file and takes the lock that it asks for.
func lockFile(file File) (*os.File, error) {
	flags, kind := os.O_RDONLY, filelock.Shared
	if file.Lock == LockWrite {
		flags, kind = os.O_RDWR, filelock.Exclusive
	}
	f, err := os.OpenFile(file.Host, flags|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fileError("open", file.Host, err)
	}
	if err := filelock.Lock(f, kind); err != nil {
		f.Close()
		if errors.Is(err, filelock.ErrHeld) {
			return nil, virerr.New(libvirt.ErrResourceBusy, "'%s' is in use by another guest or by a job of its storage pool", file.Host)
		}
		return nil, virerr.New(libvirt.ErrSystemError, "%w", err)
	}
	return f, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}
