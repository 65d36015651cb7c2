package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"virtumld/internal/paths"
	"virtumld/internal/sock"
)

// makeFolders makes the instance's folders where they are missing. A session
// instance's are its user's alone.
func makeFolders(p paths.Paths) error {
	open := fs.FileMode(0o755)
	if !p.System {
		open = 0o700
	}
	for _, folder := range []struct {
		path string
		mode fs.FileMode
	}{
		{p.SocketDir, open},
		{p.StateDir, open},
		{p.UMLDir, open},
		{p.CacheDir, open},
		{p.LogDir, 0o700},
		{p.ConfigDir, 0o700},
	} {
		// The folders above are shared: other users look for libvirt's own
		// files in /etc/libvirt.
		if err := os.MkdirAll(filepath.Dir(folder.path), open); err != nil {
			return fmt.Errorf("cannot make the instance's folder: %w", err)
		}
		if err := os.MkdirAll(folder.path, folder.mode); err != nil {
			return fmt.Errorf("cannot make the instance's folder: %w", err)
		}
	}
	return nil
}

// openSockets takes the service manager's sockets over, or else makes the
// instance's own: a session has no read-only one.
func openSockets(ctx context.Context, s setup) ([]sock.Socket, error) {
	inherited, err := sock.Inherit()
	if err != nil || len(inherited) > 0 {
		return inherited, err
	}
	if !s.paths.System {
		l, err := sock.Listen(ctx, s.paths.Socket(), 0o700, sock.KeepGroup)
		if err != nil {
			return nil, err
		}
		return []sock.Socket{{UnixListener: l}}, nil
	}
	gid, mode, err := socketAccess(s.config)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	writable, err := sock.Listen(ctx, s.paths.Socket(), mode, gid)
	if err != nil {
		return nil, err
	}
	readOnly, err := sock.Listen(ctx, s.paths.ReadOnlySocket(), s.config.ReadOnlyPerms, gid)
	if err != nil {
		return nil, errors.Join(err, writable.Close())
	}
	return []sock.Socket{{UnixListener: writable}, {UnixListener: readOnly, ReadOnly: true}}, nil
}

// closeSockets closes what Serve has left open.
func closeSockets(sockets []sock.Socket) error {
	var errs []error
	for _, s := range sockets {
		if err := s.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func addresses(sockets []sock.Socket) []string {
	names := make([]string, len(sockets))
	for i, s := range sockets {
		names[i] = s.Addr().String()
	}
	return names
}

// firstOfBoot reports whether no daemon has served the instance since the
// host's boot, and leaves a note that one has now. Domains are started
// automatically once a boot: a daemon that ends when idle and is started again
// by its socket must not start what the user has stopped meanwhile.
func firstOfBoot(stateDir string) (bool, error) {
	note := filepath.Join(stateDir, "autostarted")
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return false, fmt.Errorf("cannot tell the host's boots apart: %w", err)
	}
	before, err := os.ReadFile(note)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("cannot read the note of the last automatic start: %w", err)
	}
	if strings.TrimSpace(string(before)) == strings.TrimSpace(string(boot)) {
		return false, nil
	}
	if err := os.WriteFile(note, boot, 0o600); err != nil {
		return false, fmt.Errorf("cannot note the automatic start: %w", err)
	}
	return true, nil
}
