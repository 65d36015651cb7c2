package vhost

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"virtumld/internal/rundir"
)

// Device is a virtio network device of a guest.
type Device struct {
	// Name is the guest's name of it ("eth0").
	Name string
	// Backend is the path of the socket where the back end listens.
	Backend string
	// MAC is the device's address.
	MAC string
}

// Socket is the name of a device's socket in the guest's folder. It begins
// with a dot, which no umid does.
func Socket(device string) string { return "." + device }

// Options are what the relays of one guest share.
type Options struct {
	// Dir is the guest's folder, in which sockets are made for the user
	// of UID and GID.
	Dir      string
	UID, GID int
	Log      func(format string, args ...any)
}

// Relay serves one device over the boots of a guest.
type Relay struct {
	device   Device
	mac      net.HardwareAddr
	log      func(format string, args ...any)
	listener *net.UnixListener
	wait     sync.WaitGroup

	mu sync.Mutex
	// next is a connection to the back end for the kernel's next one.
	next *net.UnixConn
	// current is the session of the kernel that runs.
	current *session
	closed  bool
}

// Open connects to the device's back end and then listens for the kernel. The
// error is of the back end, and says so, or of the guest's folder.
func Open(d Device, o Options) (*Relay, error) {
	mac, err := net.ParseMAC(d.MAC)
	if err != nil {
		return nil, err
	}
	back, err := dial(d.Backend)
	if err != nil {
		return nil, err
	}
	listener, err := listen(Socket(d.Name), o)
	if err != nil {
		return nil, errors.Join(err, back.Close())
	}
	r := &Relay{device: d, mac: mac, log: o.Log, listener: listener, next: back}
	r.wait.Go(r.accept)
	return r, nil
}

// dial connects to a back end. Its path may be of any length.
func dial(path string) (*net.UnixConn, error) {
	var conn *net.UnixConn
	err := rundir.Within(filepath.Dir(path), func(folder string) (err error) {
		conn, err = net.DialUnix("unix", nil, &net.UnixAddr{Name: folder + "/" + filepath.Base(path), Net: "unix"})
		return err
	})
	var errno syscall.Errno
	if errors.As(err, &errno) {
		err = errno // without the name that Within has made up
	}
	if err != nil {
		return nil, fmt.Errorf("cannot connect to the vhost-user socket '%s'; start what listens there before the guest: %w", path, err)
	}
	return conn, nil
}

// listen makes the socket to which the guest's kernel connects.
func listen(name string, o Options) (*net.UnixListener, error) {
	path := filepath.Join(o.Dir, name)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	var listener *net.UnixListener
	err := rundir.Within(o.Dir, func(folder string) (err error) {
		listener, err = net.ListenUnix("unix", &net.UnixAddr{Name: folder + "/" + name, Net: "unix"})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cannot listen at %s: %w", path, err)
	}
	listener.SetUnlinkOnClose(false) // it was bound by another name
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	if o.UID != os.Geteuid() {
		if err := os.Lchown(path, o.UID, o.GID); err != nil {
			return nil, errors.Join(err, listener.Close())
		}
	}
	return listener, nil
}

func (r *Relay) accept() {
	for {
		front, err := r.listener.AcceptUnix()
		if err != nil {
			return // closed
		}
		if s := r.begin(front); s != nil {
			r.wait.Go(func() {
				if err := s.run(); err != nil {
					r.log("interface %s: %v", r.device.Name, err)
				}
			})
		}
	}
}

// begin makes a session of a connection of the guest's kernel, in place of the
// one before, whose kernel has ended.
func (r *Relay) begin(front *net.UnixConn) *session {
	r.mu.Lock()
	back := r.next
	r.next = nil
	r.mu.Unlock()
	if back == nil {
		var err error
		if back, err = dial(r.device.Backend); err != nil {
			r.log("interface %s: %v", r.device.Name, err)
			front.Close()
			return nil
		}
	}
	s := newSession(front, back, r.mac)
	r.mu.Lock()
	before, closed := r.current, r.closed
	r.current = s
	r.mu.Unlock()
	if before != nil {
		before.end()
	}
	if closed {
		s.close()
	}
	return s
}

// Close ends the relay. The guest's kernel has ended.
func (r *Relay) Close() {
	r.mu.Lock()
	r.closed = true
	if r.next != nil {
		r.next.Close()
	}
	if r.current != nil {
		r.current.close()
	}
	r.mu.Unlock()
	r.listener.Close()
	r.wait.Wait()
	if r.current != nil {
		r.current.end()
	}
}

// notEnd is err unless it says that a connection has ended.
func notEnd(err error) error {
	for _, end := range []error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, end) {
			return nil
		}
	}
	return err
}
