package tap

import (
	"errors"
	"fmt"
	"os/user"
	"strings"

	libvirt "github.com/digitalocean/go-libvirt"
	"golang.org/x/sys/unix"

	"virtumld/internal/virerr"
)

// failed is what the host refuses, in libvirt's words (src/util/virnetdev*.c).
// Who lacks a permission hears what an administrator can do.
func failed(err error, format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return virerr.In(virerr.None, libvirt.ErrSystemError,
			"%s: %w; an administrator can make a tap for this user (%s), which is named with <target dev='tap0' managed='no'/>",
			text, err, addCommand("tap0"))
	}
	return virerr.In(virerr.None, libvirt.ErrSystemError, "%s: %w", text, err)
}

// addCommand is the command that makes a tap for the user of this process.
func addCommand(name string) string {
	if name == "" || strings.Contains(name, "%") {
		name = "tap0"
	}
	owner := "USER"
	if u, err := user.Current(); err == nil {
		owner = u.Username
	}
	return fmt.Sprintf("ip tuntap add dev %s mode tap user %s", name, owner)
}

func unsupported(format string, args ...any) error {
	return virerr.In(virerr.None, libvirt.ErrConfigUnsupported, format, args...)
}
