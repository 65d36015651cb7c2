package sock

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/sys/unix"
)

// The names that the service manager gives to the sockets (LISTEN_FDNAMES):
// those of their units.
const (
	nameReadWrite = "virtumld.socket"
	nameReadOnly  = "virtumld-ro.socket"
)

// Inherit takes over the sockets that the service manager has passed
// (sd_listen_fds(3)); none is no error. It removes what it read from the
// environment. Closing such a listener leaves its file to the service manager.
func Inherit() ([]Socket, error) {
	files := activation.Files(true)
	sockets := make([]Socket, 0, len(files))
	var errs []error
	for _, f := range files {
		s, err := inherit(f)
		errs = append(errs, err, f.Close())
		if err == nil {
			sockets = append(sockets, s)
		}
	}
	if err := errors.Join(errs...); err != nil {
		for _, s := range sockets {
			err = errors.Join(err, s.Close())
		}
		return nil, err
	}
	return sockets, nil
}

func inherit(f *os.File) (Socket, error) {
	listening, err := unix.GetsockoptInt(int(f.Fd()), unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if err != nil || listening == 0 {
		return Socket{}, fmt.Errorf("the service manager's descriptor %s is no listening socket", f.Name())
	}
	l, err := net.FileListener(f)
	if err != nil {
		return Socket{}, fmt.Errorf("cannot take over the service manager's socket %s: %w", f.Name(), err)
	}
	stream, ok := l.(*net.UnixListener)
	if !ok {
		return Socket{}, errors.Join(fmt.Errorf("the service manager's socket %s is no unix stream socket", f.Name()), l.Close())
	}
	readOnly, err := isReadOnly(f.Name(), stream.Addr().String())
	if err != nil {
		return Socket{}, errors.Join(err, l.Close())
	}
	return Socket{UnixListener: stream, ReadOnly: readOnly}, nil
}

// isReadOnly tells the two sockets apart, by name or else by path. A socket
// of neither kind is refused: guessing would give write access away.
func isReadOnly(name, path string) (bool, error) {
	switch {
	case name == nameReadOnly, filepath.Base(path) == "virtumld-sock-ro":
		return true, nil
	case name == nameReadWrite, filepath.Base(path) == "virtumld-sock":
		return false, nil
	default:
		return false, fmt.Errorf("the service manager passed a socket named %q at %s: name it %s or %s (FileDescriptorName=)",
			name, path, nameReadWrite, nameReadOnly)
	}
}
