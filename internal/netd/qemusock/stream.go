package qemusock

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// The waits of a client between two attempts.
const (
	firstWait   = 250 * time.Millisecond
	longestWait = 15 * time.Second
	connectTime = 30 * time.Second
)

// errNoPeer says that there is nobody to send to.
var errNoPeer = errors.New("no peer is connected")

// stream carries frames over one TCP connection after the other.
type stream struct {
	// next connects, or waits for who does, until ctx ends.
	next func(ctx context.Context) (net.Conn, error)
	log  func(format string, args ...any)
	ctx  context.Context
	end  context.CancelFunc
	// listener is a server's.
	listener net.Listener

	// reader belongs to Read.
	reader *bufio.Reader
	// mu guards peer and what follows; rest is what the connection did not
	// take of the last frame.
	mu   sync.Mutex
	peer *net.TCPConn
	rest []byte
	out  []byte
}

func newStream(log func(string, ...any)) *stream {
	s := &stream{log: log}
	s.ctx, s.end = context.WithCancel(context.Background())
	return s
}

func openServer(cfg Config, log func(string, ...any)) (io.ReadWriteCloser, error) {
	listener, err := net.Listen("tcp", cfg.Address.String())
	if err != nil {
		return nil, failure("listen on", cfg.Address, err)
	}
	s := newStream(log)
	s.listener = listener
	s.next = func(context.Context) (net.Conn, error) { return listener.Accept() }
	return s, nil
}

func openClient(cfg Config, log func(string, ...any)) (io.ReadWriteCloser, error) {
	s := newStream(log)
	dialer := net.Dialer{Timeout: connectTime}
	s.next = func(ctx context.Context) (net.Conn, error) {
		return dialer.DialContext(ctx, "tcp", cfg.Address.String())
	}
	return s, nil
}

// Read returns the next frame of whoever is connected.
func (s *stream) Read(frame []byte) (int, error) {
	for {
		if s.reader == nil {
			if err := s.connect(); err != nil {
				return 0, err
			}
		}
		n, err := readFrame(s.reader, frame)
		if err == nil {
			return n, nil
		}
		s.drop(err)
	}
}

// connect gets the next peer. The error is the end.
func (s *stream) connect() error {
	wait := firstWait
	for {
		conn, err := s.next(s.ctx)
		if s.ctx.Err() != nil {
			if err == nil {
				conn.Close()
			}
			return io.EOF
		}
		if err == nil {
			return s.use(conn)
		}
		s.log("no peer: %v", err)
		select {
		case <-s.ctx.Done():
			return io.EOF
		case <-time.After(wait):
		}
		wait = min(2*wait, longestWait)
	}
}

func (s *stream) use(conn net.Conn) error {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		conn.Close()
		return fmt.Errorf("%T is no TCP connection", conn)
	}
	_ = tcp.SetNoDelay(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil { // Close has not seen this one
		conn.Close()
		return io.EOF
	}
	s.peer, s.rest, s.reader = tcp, nil, bufio.NewReaderSize(tcp, maxFrame)
	s.log("connected with %s", conn.RemoteAddr())
	return nil
}

// drop lets the peer go.
func (s *stream) drop(why error) {
	s.mu.Lock()
	peer := s.peer
	s.peer, s.rest, s.reader = nil, nil, nil
	s.mu.Unlock()
	if peer != nil {
		peer.Close()
		s.log("the connection with %s has ended: %v", peer.RemoteAddr(), why)
	}
}

// readFrame reads one frame. A length that no frame has is an error: what comes
// after it cannot be told apart any more. A frame that is longer than room is
// passed over.
func readFrame(r *bufio.Reader, room []byte) (int, error) {
	for {
		var head [4]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return 0, err
		}
		size := binary.BigEndian.Uint32(head[:])
		if size == 0 || size > maxFrame {
			return 0, fmt.Errorf("a frame of %d bytes was announced", size)
		}
		if int(size) <= len(room) {
			return io.ReadFull(r, room[:size])
		}
		if _, err := r.Discard(int(size)); err != nil {
			return 0, err
		}
	}
}

// Write sends a frame. Of one that the connection takes in part, the rest goes
// before the next.
func (s *stream) Write(frame []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.peer == nil {
		return 0, errNoPeer
	}
	if len(s.rest) > 0 {
		if err := s.push(); err != nil {
			return 0, err
		}
	}
	s.out = binary.BigEndian.AppendUint32(s.out[:0], uint32(len(frame)))
	s.out = append(s.out, frame...)
	s.rest = s.out
	before := len(s.rest)
	err := s.push()
	if len(s.rest) == before {
		s.rest = nil // nothing of it has gone: it is dropped
		return 0, err
	}
	return len(frame), nil
}

// push sends what it can of the rest. The error says that some is left.
func (s *stream) push() error {
	_, err := writeNow(s.peer, func(fd int) error {
		for len(s.rest) > 0 {
			n, err := unix.SendmsgN(fd, s.rest, nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
			if err == unix.EINTR {
				continue
			}
			if err != nil {
				return err
			}
			s.rest = s.rest[n:]
		}
		return nil
	}, 0)
	return err
}

// Close ends the connection and all attempts at one.
func (s *stream) Close() error {
	s.end()
	if s.listener != nil {
		s.listener.Close()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.peer != nil {
		s.peer.Close()
	}
	return nil
}
