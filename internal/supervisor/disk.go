package supervisor

import (
	"context"
	"slices"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/virerr"
)

// Disk is one ubd device of a guest.
type Disk struct {
	// Unit is the N of ubdN.
	Unit int
	// Arg is the kernel's argument for it, in the form of Spec.Args.
	Arg string
	// Files are the disk's own file and its backing file.
	Files []File
}

// diskTime bounds one change of the guest's disks.
const diskTime = time.Minute

// files are all that the guest's kernel may open.
func (s *Spec) files() []File {
	files := slices.Clone(s.Files)
	for _, disk := range s.Disks {
		files = append(files, disk.Files...)
	}
	return files
}

// disk is the disk of that unit.
func (s *Spec) disk(unit int) (disk Disk, found bool) {
	i := slices.IndexFunc(s.Disks, func(d Disk) bool { return d.Unit == unit })
	if i < 0 {
		return Disk{Unit: unit}, false
	}
	return s.Disks[i], true
}

// without is s without the disk of that unit.
func (s *Spec) without(unit int) *Spec {
	next := *s
	isIt := func(d Disk) bool { return d.Unit == unit }
	next.Disks = slices.DeleteFunc(slices.Clone(s.Disks), isIt)
	return &next
}

// diskArgs are the kernel's arguments for its disks.
func (g *guest) diskArgs() []string {
	var args []string
	for _, disk := range g.spec.Disks {
		args = append(args, disk.Arg)
	}
	return args
}

// changeDisk carries out one of the commands for disks. What may wait for a
// file of the host runs beside the guest's loop, which goes on meanwhile.
func (g *guest) changeDisk(c call) {
	if c.Disk == nil {
		c.answer(virerr.New(libvirt.ErrInternalError, "the command '%s' lacks a disk", c.Command), g.state.Facts)
		return
	}
	change := &diskChange{
		disk: *c.Disk, rest: g.spec.without(c.Disk.Unit),
		kernel: g.kernel, contained: g.state.Facts.Contained, owners: g.held.owners,
	}
	was, found := g.spec.disk(c.Disk.Unit)
	run, note := change.open, g.diskOpened
	switch {
	case c.Command == cmdOpenDisk && len(was.Files) > 0:
		c.answer(virerr.New(libvirt.ErrOperationInvalid, "the guest has a disk ubd%d already", was.Unit), g.state.Facts)
		return
	case c.Command == cmdCloseDisk && !found:
		c.answer(nil, g.state.Facts)
		return
	case c.Command == cmdCloseDisk:
		change.disk = was
		run, note = change.close, g.diskClosed
	}
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), diskTime)
		defer cancel()
		err := run(ctx)
		noted := func() {
			if err == nil {
				note(change)
				g.saveSpec()
			}
			c.answer(err, g.state.Facts)
		}
		select {
		case g.changed <- noted:
		case <-g.over:
			_ = change.abandon() // the end itself has told of what it could not give back
		}
	}()
}

// diskOpened notes a disk for the next boot of the guest's kernel and for the
// next daemon.
func (g *guest) diskOpened(change *diskChange) {
	g.dropDisk(change.disk.Unit)
	g.spec.Disks = append(g.spec.Disks, change.disk)
	g.held.diskLocks[change.disk.Unit] = change.locks
}

// diskClosed notes that a disk is gone.
func (g *guest) diskClosed(change *diskChange) { g.dropDisk(change.disk.Unit) }

func (g *guest) dropDisk(unit int) {
	g.spec.Disks = g.spec.without(unit).Disks
	closeAll(g.held.diskLocks[unit])
	delete(g.held.diskLocks, unit)
}

// OpenDisk gives the guest the files of a disk that its kernel is about to get.
// A failure leaves nothing.
func (h *Handle) OpenDisk(ctx context.Context, d Disk) error {
	return h.callDisk(ctx, cmdOpenDisk, d)
}

// CloseDisk takes the files of a disk away that the kernel no longer has.
func (h *Handle) CloseDisk(ctx context.Context, unit int) error {
	return h.callDisk(ctx, cmdCloseDisk, Disk{Unit: unit})
}

// callDisk also tells the end of the guest meanwhile from success.
func (h *Handle) callDisk(ctx context.Context, c command, d Disk) error {
	if err := h.call(ctx, request{Command: c, Disk: &d}); err != nil {
		return err
	}
	if h.exited() {
		return errGone()
	}
	return nil
}
