package domain

import (
	"context"
	"errors"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/virerr"
)

// Usage is what the host has counted of a guest's processes.
type Usage struct {
	// User and System are the CPU time, in ns, that all of them have used.
	User, System uint64
	// RSS is the host memory in KiB behind the kernel's process, which maps
	// all of the guest's memory.
	RSS uint64
	// CPU is the host's processor on which the kernel's process ran last.
	CPU int
}

// CPUTime is the CPU time in ns, User and System.
func (u Usage) CPUTime() uint64 { return u.User + u.System }

// Usage is what the guest's processes have used, nothing for an inactive
// domain.
func (d *Domain) Usage() Usage {
	guest, err := d.running()
	if err != nil {
		return Usage{}
	}
	return guest.Usage()
}

// Affinity are the host's processors on which the running guest may run.
func (d *Domain) Affinity() []int {
	guest, err := d.running()
	if err != nil {
		return nil
	}
	return guest.Affinity()
}

// glanceLimit bounds a look into a guest: statistics wait no longer for one
// that hangs.
const glanceLimit = time.Second

// Proc reads files of the guest's /proc, named without that prefix
// ("meminfo"). It waits but a moment for a guest that hangs.
func (d *Domain) Proc(ctx context.Context, files ...string) ([]string, error) {
	guest, err := d.running()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, glanceLimit)
	defer cancel()
	texts := make([]string, len(files))
	for i, file := range files {
		if texts[i], err = guest.Proc(ctx, file); err != nil {
			return nil, asTimeout(err, "read /proc/"+file)
		}
	}
	return texts, nil
}

// ErrNoFile says that the guest answers, but lets no such file be read.
var ErrNoFile = errors.New("the guest's kernel does not let this file be read")

// ErrNoAnswer says that a guest's kernel cannot be asked at the moment, and
// why.
func ErrNoAnswer(why string) error {
	return virerr.New(libvirt.ErrOperationFailed, "the guest's kernel cannot be asked: %s", why)
}
