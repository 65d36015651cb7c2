package driver

import (
	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/virerr"
)

// checkFlags refuses the bits of flags that function, libvirt's name of the
// API, does not support. Clients read the code as "try again without".
func checkFlags[F ~uint32 | ~int32](flags, supported F, function string) error {
	return checkFlagsOf(virerr.Virt, flags, supported, function)
}

// checkFlagsOf is checkFlags for a function of another part of libvirt.
func checkFlagsOf[F ~uint32 | ~int32](domain virerr.Domain, flags, supported F, function string) error {
	if extra := uint32(flags &^ supported); extra != 0 {
		return virerr.In(domain, libvirt.ErrInvalidArg, "unsupported flags (0x%x) in function %s", extra, function)
	}
	return nil
}
