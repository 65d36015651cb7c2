// Package connect finds the daemon's socket as libvirt's clients do and opens
// a connection to it. It does not know what is asked of the daemon.
package connect

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"

	"github.com/digitalocean/go-libvirt"
	"github.com/digitalocean/go-libvirt/socket/dialers"

	"virtumld/internal/paths"
)

// The URIs of the two instances.
const (
	System  = "uml:///system"
	Session = "uml:///session"
)

// Target is where a URI leads.
type Target struct {
	// Socket is the daemon's socket.
	Socket string
	// URI is what the daemon is asked to open: System or Session.
	URI string
}

// DefaultURI is LIBVIRT_DEFAULT_URI when that is one of UML's, else the system
// instance for root and the session one for everybody else.
func DefaultURI() string {
	if uri := os.Getenv("LIBVIRT_DEFAULT_URI"); strings.HasPrefix(uri, "uml") {
		return uri
	}
	if os.Geteuid() == 0 {
		return System
	}
	return Session
}

// Resolve says where uri leads; "" is DefaultURI. It takes uml:///system,
// uml:///session and uml+unix:// with the parameter socket, as
// https://libvirt.org/uri.html describes them.
func Resolve(uri string) (Target, error) {
	if uri == "" {
		uri = DefaultURI()
	}
	u, err := url.Parse(uri)
	if err != nil {
		return Target{}, fmt.Errorf("connection URI: %w", err)
	}
	if u.Scheme != "uml" && u.Scheme != "uml+unix" {
		return Target{}, fmt.Errorf("connection URI %q: use %s, %s or uml+unix:///system?socket=PATH", uri, System, Session)
	}
	if u.Host != "" {
		return Target{}, fmt.Errorf("connection URI %q names the host %q: only the local daemon can be reached", uri, u.Host)
	}
	target := Target{URI: "uml://" + u.Path}
	switch u.Path {
	case "/system":
		target.Socket = paths.System("/").Socket()
	case "/session":
		target.Socket = paths.ForThisProcess("/").Socket()
	default:
		return Target{}, fmt.Errorf("connection URI %q: the path is /system or /session", uri)
	}
	if path := u.Query().Get("socket"); path != "" {
		target.Socket = path
	}
	return target, nil
}

// Dial connects to the daemon that uri leads to; "" is DefaultURI. ctx limits
// the connecting, not the connection, which the caller ends by Disconnect.
func Dial(ctx context.Context, uri string) (*libvirt.Libvirt, error) {
	target, err := Resolve(uri)
	if err != nil {
		return nil, err
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", target.Socket)
	if err != nil {
		return nil, explain(target, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	l := libvirt.NewWithDialer(dialers.NewAlreadyConnected(conn))
	if err := l.ConnectToURI(libvirt.ConnectURI(target.URI)); err != nil {
		_ = conn.Close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("opening %s at %s: %w", target.URI, target.Socket, err)
	}
	return l, nil
}

// explain adds what to do about a socket that cannot be reached.
func explain(target Target, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("no virtumld serves %s: start it, or enable its socket with systemctl: %w", target.URI, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("this user may not use %s; %s is for everybody: %w", target.URI, Session, err)
	}
	return fmt.Errorf("connecting to %s: %w", target.URI, err)
}
