package domxml

import (
	"strconv"

	libvirt "github.com/digitalocean/go-libvirt"
	lx "libvirt.org/go/libvirtxml"

	"virtumld/internal/virerr"
)

// maxSocketPath is the longest path of a unix socket (unix(7), sun_path less
// the NUL).
const maxSocketPath = 107

// readSource takes the type and the <source> of a line.
func readSource(where string, s *lx.DomainChardevSource, line *Chardev) error {
	switch {
	case s == nil:
		return virerr.New(libvirt.ErrConfigUnsupported, "unknown type presented to host for character device: %s", where)
	case s.Pty != nil:
		line.Type = ChardevPTY
	case s.Null != nil:
		line.Type = ChardevNull
	case s.StdIO != nil:
		line.Type = ChardevStdio
	case s.File != nil:
		line.Type, line.Path, line.Append = ChardevFile, s.File.Path, s.File.Append == "on"
		return checkSourcePath(where, line.Path)
	case s.Dev != nil:
		line.Type, line.Path = ChardevDev, s.Dev.Path
		return checkSourcePath(where, line.Path)
	case s.UNIX != nil:
		return readUnix(where, s.UNIX, line)
	case s.TCP != nil:
		return readTCP(where, s.TCP, line)
	default:
		return unsupported("%s: this type is not available, use pty, null, file, dev, tcp, unix or stdio", where)
	}
	return nil
}

func checkSourcePath(where, path string) error {
	if path == "" {
		return virerr.New(libvirt.ErrInternalError, "Missing source path attribute for char device")
	}
	return checkPath(where, path)
}

// readUnix takes a socket that the host's side listens on.
func readUnix(where string, s *lx.DomainChardevSourceUNIX, line *Chardev) error {
	line.Type, line.Path = ChardevUnix, s.Path
	if err := checkSourcePath(where, s.Path); err != nil {
		return err
	}
	if s.Mode != "bind" {
		return unsupported("%s: only <source mode='bind'> is available for type='unix'", where)
	}
	if len(s.Path) > maxSocketPath {
		return invalid("%s: path '%s' is %d bytes long, a unix socket's has at most %d", where, s.Path, len(s.Path), maxSocketPath)
	}
	return nil
}

// readTCP takes an address that the host's side listens on.
func readTCP(where string, s *lx.DomainChardevSourceTCP, line *Chardev) error {
	line.Type, line.Host, line.Service = ChardevTCP, s.Host, s.Service
	switch {
	case s.Host == "":
		return virerr.New(libvirt.ErrInternalError, "Missing source host attribute for char device")
	case s.Service == "":
		return virerr.New(libvirt.ErrInternalError, "Missing source service attribute for char device")
	case s.Mode != "bind":
		return unsupported("%s: only <source mode='bind'> is available for type='tcp'", where)
	case s.TLS == "yes":
		return unsupported("%s: <source tls='yes'> is not available", where)
	}
	port, err := strconv.ParseUint(s.Service, 10, 16)
	if err != nil || port == 0 {
		return invalid("%s: service '%s' is not a port from 1 to 65535", where, s.Service)
	}
	return nil
}
