package console

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// listenSource serves one client at a time on one or more listeners; others
// wait in the listen queue until it leaves.
type listenSource struct {
	listeners []net.Listener
	backlog   *backlog

	// turn is held by the client that is served.
	turn sync.Mutex
	// mu guards client and closed.
	mu     sync.Mutex
	client net.Conn
	closed bool
}

// listenTCP listens on every address of host, and on nothing else.
func listenTCP(name, host, service string) (*listenSource, error) {
	address := net.JoinHostPort(host, service)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	port, err := net.DefaultResolver.LookupPort(ctx, "tcp", service)
	if err != nil {
		return nil, hostError(name, "listen on", address, err)
	}
	ips, err := resolve(ctx, host)
	if err != nil {
		return nil, hostError(name, "listen on", address, err)
	}
	s := &listenSource{backlog: newBacklog()}
	var absent error
	for _, ip := range ips {
		l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: ip.IP, Port: port, Zone: ip.Zone})
		if errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT) {
			absent = err // a host without IPv6 still has localhost
			continue
		}
		if err != nil {
			s.closeListeners()
			return nil, hostError(name, "listen on", address, err)
		}
		s.listeners = append(s.listeners, l)
	}
	if len(s.listeners) == 0 {
		return nil, hostError(name, "listen on", address, absent)
	}
	return s, nil
}

// resolve returns host's addresses. "localhost" is not asked of anybody.
func resolve(ctx context.Context, host string) ([]net.IPAddr, error) {
	if host == "" || host == "localhost" {
		return []net.IPAddr{{IP: net.IPv4(127, 0, 0, 1)}, {IP: net.IPv6loopback}}, nil
	}
	return net.DefaultResolver.LookupIPAddr(ctx, host)
}

// listenUnix listens on the socket path and takes the place of a dead one.
func listenUnix(name, path string) (*listenSource, error) {
	if err := RemoveDeadSocket(path); err != nil {
		return nil, hostError(name, "listen on", path, err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, hostError(name, "listen on", path, err)
	}
	return &listenSource{listeners: []net.Listener{l}, backlog: newBacklog()}, nil
}

// RemoveDeadSocket removes path when it is a socket that nobody listens on, and
// nothing else.
func RemoveDeadSocket(path string) error {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != os.ModeSocket {
		return nil // whoever needs the path sees what is there
	}
	conn, err := net.Dial("unix", path)
	if err == nil {
		conn.Close()
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func (s *listenSource) Write(b []byte) (int, error) { return s.backlog.Write(b) }

func (s *listenSource) serve(guest io.Writer) {
	var accepting sync.WaitGroup
	for _, l := range s.listeners {
		accepting.Go(func() { s.accept(l, guest) })
	}
	accepting.Wait()
}

func (s *listenSource) accept(l net.Listener, guest io.Writer) {
	for {
		conn, err := l.Accept()
		if errors.Is(err, syscall.ECONNABORTED) {
			continue
		}
		if err != nil {
			return
		}
		s.turn.Lock()
		s.talk(conn, guest)
		s.turn.Unlock()
	}
}

// talk serves one client until it leaves.
func (s *listenSource) talk(conn net.Conn, guest io.Writer) {
	defer conn.Close()
	raw, ok := conn.(syscall.Conn)
	if !ok || !s.admit(conn) {
		return
	}
	out, err := raw.SyscallConn()
	if err != nil {
		return
	}
	var gone atomic.Bool
	var receiver sync.WaitGroup
	receiver.Go(func() {
		receive(conn, guest)
		gone.Store(true)
		conn.Close()
		s.backlog.wake()
	})
	_ = s.backlog.send(out, gone.Load)
	conn.Close()
	receiver.Wait()
}

func (s *listenSource) admit(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.client = conn
	return !s.closed
}

func (s *listenSource) settle(limit time.Duration) { settleWhile(s.backlog.Len, limit) }

func (s *listenSource) stop() {
	s.mu.Lock()
	s.closed = true
	client := s.client
	s.mu.Unlock()
	s.backlog.close()
	s.closeListeners()
	if client != nil {
		client.Close()
	}
}

func (s *listenSource) closeListeners() {
	for _, l := range s.listeners {
		l.Close()
	}
}
