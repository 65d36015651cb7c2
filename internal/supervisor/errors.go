package supervisor

import (
	"errors"
	"io/fs"
	"syscall"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/supervisor/contain"
	"virtumld/internal/virerr"
)

// fileError says what the host does not let a guest do with a file.
func fileError(op, path string, err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		err = pathErr.Err
	}
	return virerr.New(libvirt.ErrSystemError, "cannot %s '%s': %w", op, path, err)
}

// startError words why a kernel did not come to run.
func startError(spec *Spec, err error) error {
	var failure *contain.Failure
	if !errors.As(err, &failure) {
		return virerr.In(virerr.UML, libvirt.ErrInternalError, "cannot start the kernel '%s': %w", spec.Kernel, err)
	}
	switch {
	case failure.Stage == contain.StageExec && failure.Errno == syscall.ENOEXEC:
		return virerr.New(libvirt.ErrOperationFailed, "'%s' is not a program for this machine, so not a UML kernel", spec.Kernel)
	case failure.Stage == contain.StageExec && failure.Errno == syscall.ENOENT:
		return virerr.New(libvirt.ErrOperationFailed,
			"cannot execute '%s': the loader or a library that it needs is missing", spec.Kernel)
	case failure.Stage == contain.StageExec:
		return virerr.New(libvirt.ErrSystemError, "cannot execute '%s': %w", spec.Kernel, failure.Errno)
	case failure.Stage == contain.StageFile && spec.User != nil:
		return virerr.New(libvirt.ErrSystemError, "cannot %s '%s' as user %d, group %d: %w",
			failure.Op, failure.Path, spec.User.UID, spec.User.GID, failure.Errno)
	default:
		return virerr.New(libvirt.ErrSystemError, "cannot %s '%s': %w", failure.Op, failure.Path, failure.Errno)
	}
}
