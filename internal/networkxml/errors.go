package networkxml

import (
	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/virerr"
)

// invalid is libvirt's error for a document that is well-formed and wrong.
func invalid(format string, args ...any) error {
	return virerr.In(virerr.Network, libvirt.ErrXMLError, format, args...)
}

// detail is libvirt's error for wrong DNS records and a few others.
func detail(format string, args ...any) error {
	return virerr.In(virerr.Network, libvirt.ErrXMLDetail, format, args...)
}

// unsupported is libvirt's error for what a document may ask for and there is
// not.
func unsupported(format string, args ...any) error {
	return virerr.In(virerr.Network, libvirt.ErrConfigUnsupported, format, args...)
}

// internal is libvirt's error where it has no better one.
func internal(format string, args ...any) error {
	return virerr.In(virerr.Network, libvirt.ErrInternalError, format, args...)
}

// wrongState is libvirt's error for an update that does not fit.
func wrongState(format string, args ...any) error {
	return virerr.In(virerr.Network, libvirt.ErrOperationInvalid, format, args...)
}

// noSupport is libvirt's error for an update that cannot be.
func noSupport(format string, args ...any) error {
	return virerr.In(virerr.Network, libvirt.ErrOperationUnsupported, format, args...)
}
