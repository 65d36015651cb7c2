package store

import (
	"context"
	"fmt"

	libvirt "github.com/digitalocean/go-libvirt"
)

// Status is what the next daemon must know of a running domain.
type Status struct {
	// Name is the domain's name; it is the file's, not written into it.
	Name string
	// State and Reason are libvirt's virDomainState and the reason that
	// belongs to it.
	State  libvirt.DomainState
	Reason int32
	// PID is the kernel's main process as the host sees it, 0 for none.
	PID int
	// ID is the running domain's id.
	ID int32
	// Persistent says that the domain is defined and not only running.
	Persistent bool
	// Autodestroy says that the guest ends with the client that started it.
	Autodestroy bool
	// Document is the live <domain> element, id attribute included.
	Document string
}

// SaveStatus writes status. It takes effect whole, but is not made durable:
// the host forgets the folder when it goes down, and the guests with it.
func (s *Store) SaveStatus(status Status) error {
	file, err := FileName(status.Name)
	if err != nil {
		return err
	}
	data, err := encodeStatus(status)
	if err != nil {
		return fmt.Errorf("cannot write the status of domain %q: %w", status.Name, err)
	}
	return s.state.Replace(file, data, Volatile)
}

// RemoveStatus removes the status of the domain called name. It is no error
// when there is none.
func (s *Store) RemoveStatus(name string) error {
	file, err := FileName(name)
	if err != nil {
		return err
	}
	return s.state.Remove(file, Volatile)
}

// LoadStatuses reads every status, in the order of the names. A file that is
// no status is reported and left alone.
func (s *Store) LoadStatuses(ctx context.Context) ([]Status, []Problem, error) {
	return Load(ctx, s.state, func(name string, data []byte) (Status, error) {
		status, err := decodeStatus(data)
		status.Name = name
		return status, err
	})
}
