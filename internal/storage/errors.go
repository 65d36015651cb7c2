package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/virerr"
)

func failf(code libvirt.ErrorNumber, format string, args ...any) error {
	return virerr.In(virerr.Storage, code, format, args...)
}

// systemErr says what the operating system has refused: the text, a colon and
// its reason, as libvirt's virReportSystemError. Go's own path and operation
// are left out of the reason.
func systemErr(err error, format string, args ...any) error {
	return failf(libvirt.ErrSystemError, "%s: %w", fmt.Sprintf(format, args...), reason(err))
}

func reason(err error) error {
	var pathErr *fs.PathError
	var callErr *os.SyscallError
	var linkErr *os.LinkError
	switch {
	case errors.As(err, &pathErr):
		return pathErr.Err
	case errors.As(err, &linkErr):
		return linkErr.Err
	case errors.As(err, &callErr):
		return callErr.Err
	default:
		return err
	}
}

func errPoolActive(name string) error {
	return failf(libvirt.ErrOperationInvalid, "storage pool '%s' is still active", name)
}

func errPoolInactive(name string) error {
	return failf(libvirt.ErrOperationInvalid, "storage pool '%s' is not active", name)
}

func errPoolJobs(name string) error {
	return failf(libvirt.ErrInternalError, "pool '%s' has asynchronous jobs running.", name)
}

func errNoPoolName(name string) error {
	return failf(libvirt.ErrNoStoragePool, "no storage pool with matching name '%s'", name)
}

func errNoVolume(name string) error {
	return failf(libvirt.ErrNoStorageVol, "no storage vol with matching name '%s'", name)
}

func errVolumeInUse(name string) error {
	return failf(libvirt.ErrOperationInvalid, "volume '%s' is still in use.", name)
}

func errVolumeBuilding(name string) error {
	return failf(libvirt.ErrOperationInvalid, "volume '%s' is still being allocated.", name)
}

func errNoVolumePath(path string) error {
	return failf(libvirt.ErrNoStorageVol, "no storage vol with matching path '%s'", path)
}

// systemErrUnlessOurs is systemErr for what may be a complete error already.
func systemErrUnlessOurs(err error, format string, args ...any) error {
	var ours *virerr.Error
	if errors.As(err, &ours) {
		return err
	}
	return systemErr(err, format, args...)
}
