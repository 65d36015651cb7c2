package supervisor

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/supervisor/contain"
	"virtumld/internal/supervisor/dac"
	"virtumld/internal/virerr"
)

// diskChange is one disk's way into a running guest, or out of it.
type diskChange struct {
	disk Disk
	// rest is the guest's specification without the disk.
	rest *Spec
	// kernel is nil while there is none; contained says that it has a root
	// of its own.
	kernel    *contain.Process
	contained bool
	owners    *dac.Ledger // nil: the guest's user is the supervisor's

	// locks are what open has got.
	locks []*os.File
}

// open locks the disk's files, makes them the guest's user's and has them
// appear in the guest's root.
func (d *diskChange) open(ctx context.Context) error {
	if d.kernel == nil {
		return virerr.New(libvirt.ErrOperationInvalid, "the guest's kernel does not run")
	}
	for _, file := range d.disk.Files {
		if other, found := named(d.rest.files(), file.Guest); found && other.Host != file.Host {
			return virerr.New(libvirt.ErrOperationInvalid,
				"the guest has '%s' already where it needs '%s': as '%s'", other.Host, file.Host, file.Guest)
		}
	}
	locks, err := lockFiles(d.disk.Files)
	if err != nil {
		return err
	}
	d.locks = locks
	if err := giveFiles(d.owners, d.rest, d.disk.Files); err != nil {
		return errors.Join(err, d.abandon())
	}
	if err := d.place(ctx); err != nil {
		return errors.Join(err, d.abandon())
	}
	return nil
}

// abandon gives back what open has taken.
func (d *diskChange) abandon() error {
	closeAll(d.locks)
	d.locks = nil
	return d.giveBack()
}

// close has the disk's files disappear from the guest's root and gives them
// back to their owners. Their locks are the guest's loop's.
func (d *diskChange) close(ctx context.Context) error {
	return errors.Join(d.displace(ctx), d.giveBack())
}

func (d *diskChange) giveBack() error {
	if d.owners == nil {
		return nil
	}
	var kept []string
	for _, file := range d.rest.files() {
		if file.Own {
			kept = append(kept, file.Host)
		}
	}
	if err := d.owners.Keep(d.rest.Dir, kept); err != nil {
		return virerr.New(libvirt.ErrOperationFailed, "cannot give the disk's files back to their owners: %w", err)
	}
	return nil
}

// own are those of the disk's files that are in the guest's root for no other
// disk.
func (d *diskChange) own() []File {
	return slices.DeleteFunc(slices.Clone(d.disk.Files), func(file File) bool {
		_, found := named(d.rest.files(), file.Guest)
		return found
	})
}

func named(files []File, guest string) (File, bool) {
	i := slices.IndexFunc(files, func(f File) bool { return f.Guest == guest })
	if i < 0 {
		return File{}, false
	}
	return files[i], true
}

// place has the disk's files appear.
func (d *diskChange) place(ctx context.Context) error {
	if !d.contained {
		root := d.rest.path(rootFolder)
		for _, file := range d.own() {
			if err := link(root, file); err != nil {
				return errors.Join(fileError("link", file.Host, err), d.displace(ctx))
			}
		}
		return nil
	}
	var changes contain.Changes
	for _, file := range d.own() {
		changes.Add = append(changes.Add, contain.Bind{Host: file.Host, Guest: file.Guest, ReadOnly: file.ReadOnly})
	}
	return d.change(ctx, changes)
}

// displace has the disk's files disappear.
func (d *diskChange) displace(ctx context.Context) error {
	if !d.contained {
		var failures []error
		for _, file := range d.own() {
			err := os.Remove(filepath.Join(d.rest.path(rootFolder), file.Guest))
			failures = append(failures, ignoreMissing(err))
		}
		return errors.Join(failures...)
	}
	var changes contain.Changes
	for _, file := range d.own() {
		changes.Remove = append(changes.Remove, file.Guest)
	}
	return d.change(ctx, changes)
}

// change changes the guest's root, of which nothing is left once its kernel has
// ended.
func (d *diskChange) change(ctx context.Context, changes contain.Changes) error {
	if d.kernel == nil || len(changes.Add)+len(changes.Remove) == 0 {
		return nil
	}
	err := d.kernel.Change(ctx, changes)
	if errors.Is(err, os.ErrProcessDone) && len(changes.Add) == 0 {
		return nil
	}
	var failure *contain.Failure
	switch {
	case err == nil:
		return nil
	case errors.As(err, &failure):
		return startError(d.rest, err)
	default:
		return virerr.New(libvirt.ErrOperationFailed, "%w", err)
	}
}
