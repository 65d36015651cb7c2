package driver

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"syscall"

	libvirt "github.com/digitalocean/go-libvirt"
	"golang.org/x/sys/unix"

	"virtumld/internal/domain"
	"virtumld/internal/domxml"
	"virtumld/internal/virerr"
)

// consoles are the open console streams, one a pty.
type consoles struct {
	mu   sync.Mutex // guards: open
	open map[string]*consoleStream
}

// consoleStream is a client's side of a pty.
type consoleStream struct {
	pty   *os.File
	owner *consoles
	taken bool // another client has forced its way in; guarded by owner.mu
}

// DomainOpenConsole opens a console or serial line of a running guest: the
// named one, else the first console, else the first serial line. One client at
// a time has it; the force flag takes it from the one who has.
func (c *Conn) DomainOpenConsole(_ context.Context, a *libvirt.DomainOpenConsoleArgs) (io.ReadWriteCloser, error) {
	flags := libvirt.DomainConsoleFlags(a.Flags)
	if err := checkFlags(flags, libvirt.DomainConsoleForce|libvirt.DomainConsoleSafe, "virDomainOpenConsole"); err != nil {
		return nil, err
	}
	v, err := c.view(a.Dom)
	if err != nil {
		return nil, err
	}
	if !v.Active() {
		return nil, domain.ErrNotRunning()
	}
	device, err := findConsole(v, first(a.DevName))
	if err != nil {
		return nil, err
	}
	path := v.Facts.PTYs[device.Line()]
	if path == "" {
		return nil, virerr.New(libvirt.ErrOperationFailed, "the PTY of character device '%s' is not there yet", device.Alias)
	}
	return c.driver.consoles.openPTY(path, flags&libvirt.DomainConsoleForce != 0)
}

// findConsole finds the line that a client means.
func findConsole(v *domain.View, name string) (domxml.Chardev, error) {
	device, found := pickConsole(v.Live.Chardevs, name)
	if !found {
		return device, virerr.In(virerr.UML, libvirt.ErrInternalError, "cannot find character device %s", orDefault(name))
	}
	if device.Type != domxml.ChardevPTY {
		return device, virerr.In(virerr.UML, libvirt.ErrInternalError, "character device %s is not using a PTY", device.Alias)
	}
	return device, nil
}

// pickConsole prefers consoles to serial lines when no name is given.
func pickConsole(devices []domxml.Chardev, name string) (domxml.Chardev, bool) {
	for _, wantSerial := range []bool{false, true} {
		for _, device := range devices {
			if name == "" && device.Serial == wantSerial && !device.Duplicate {
				return device, true
			}
			if name != "" && (device.Alias == name || device.Line() == name) {
				return device, true
			}
		}
	}
	return domxml.Chardev{}, false
}

func orDefault(name string) string {
	if name == "" {
		return "(default)"
	}
	return name
}

func (s *consoles) openPTY(path string, force bool) (io.ReadWriteCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if holder := s.open[path]; holder != nil {
		if !force {
			return nil, virerr.New(libvirt.ErrOperationFailed, "Active console session exists for this domain")
		}
		holder.taken = true
		_ = holder.pty.Close() // its reader ends with errTaken
	}
	pty, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, virerr.New(libvirt.ErrSystemError, "cannot open console: %w", err)
	}
	stream := &consoleStream{pty: pty, owner: s}
	if s.open == nil {
		s.open = make(map[string]*consoleStream)
	}
	s.open[path] = stream
	return stream, nil
}

// Read reads what the guest writes. The end of the guest is the end of the
// stream; a console taken over by another client ends with an error.
func (s *consoleStream) Read(p []byte) (int, error) {
	n, err := s.pty.Read(p)
	switch {
	case err == nil:
		return n, nil
	case s.isTaken():
		return n, virerr.In(virerr.Streams, libvirt.ErrOperationAborted, "another client has taken over the console")
	case errors.Is(err, syscall.EIO):
		return n, io.EOF
	default:
		return n, err
	}
}

// Write types into the guest.
func (s *consoleStream) Write(p []byte) (int, error) { return s.pty.Write(p) }

func (s *consoleStream) isTaken() bool {
	s.owner.mu.Lock()
	defer s.owner.mu.Unlock()
	return s.taken
}

// Close lets the next client in.
func (s *consoleStream) Close() error {
	s.owner.mu.Lock()
	defer s.owner.mu.Unlock()
	if s.owner.open[s.pty.Name()] == s {
		delete(s.owner.open, s.pty.Name())
	}
	if s.taken {
		return nil
	}
	return s.pty.Close()
}
