package console

import (
	"errors"
	"io/fs"
	"syscall"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/virerr"
)

// hostError says which line could not get which thing of the host.
func hostError(line, op, path string, err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		err = pathErr.Err
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		return virerr.New(libvirt.ErrOperationFailed, "line %s: cannot %s %s: the address is in use", line, op, path)
	}
	return virerr.New(libvirt.ErrSystemError, "line %s: cannot %s '%s': %w", line, op, path, err)
}
