package netswitch

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// sendRoom is how many bytes of frames the kernel may hold for a device that
// does not read.
const sendRoom = 1 << 20

// Socket is a Conn over an AF_UNIX socket of type SOCK_SEQPACKET or
// SOCK_DGRAM, a frame a packet. Many frames go in one system call. Of a
// SOCK_SEQPACKET, an empty packet is the end.
type Socket struct {
	file *os.File
	raw  syscall.RawConn
	// packets says that the socket tells its peer's end.
	packets bool

	// what readBatch's system call found; it has one caller at a time.
	got     *batch
	gotN    int
	gotErr  error
	receive func(fd uintptr) bool
}

// NewSocket makes a Socket of file, which it owns when it returns no error.
func NewSocket(file *os.File) (*Socket, error) {
	// A descriptor that blocks is not in the runtime's poller; one of its own
	// is, once it does not.
	fd, err := duplicate(file)
	if err != nil {
		return nil, fmt.Errorf("cannot copy a socket's descriptor: %w", err)
	}
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err == nil && kind != unix.SOCK_SEQPACKET && kind != unix.SOCK_DGRAM {
		err = errors.New("the socket does not keep packets apart")
	}
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("cannot use a socket for frames: %w", err)
	}
	// More room is better, and none is as good as what there is.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, sendRoom) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, sendRoom)
	}
	s := &Socket{file: os.NewFile(uintptr(fd), "frames"), packets: kind == unix.SOCK_SEQPACKET}
	if s.raw, err = s.file.SyscallConn(); err != nil {
		s.file.Close()
		return nil, err
	}
	s.receive = s.tryReceive
	file.Close()
	return s, nil
}

func duplicate(file *os.File) (int, error) {
	raw, err := file.SyscallConn()
	if err != nil {
		return -1, err
	}
	fd, failure := -1, error(nil)
	err = raw.Control(func(old uintptr) { fd, failure = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 3) })
	return fd, errors.Join(err, failure)
}

// Close ends the reading; the connection itself lives as long as anybody else
// holds a copy of the descriptor.
func (s *Socket) Close() error { return s.file.Close() }

// readBatch waits for frames. The caller puts the batch back.
func (s *Socket) readBatch() (*batch, int, error) {
	if err := s.raw.Read(s.receive); err != nil {
		return nil, 0, err
	}
	b, n, err := s.got, s.gotN, s.gotErr
	s.got = nil
	if err == nil && n == 0 {
		err = io.EOF
	}
	if err != nil {
		batches.Put(b)
		return nil, 0, err
	}
	return b, n, nil
}

// tryReceive holds a batch only while there is something to read.
func (s *Socket) tryReceive(fd uintptr) bool {
	b, _ := batches.Get().(*batch)
	n, err := b.vector.receive(fd)
	if err == unix.EAGAIN {
		batches.Put(b)
		return false
	}
	s.got, s.gotN, s.gotErr = b, s.sort(b, n), err
	return true
}

// sort sets the frames of a batch to what was read and returns how many there
// are before the end.
func (s *Socket) sort(b *batch, n int) int {
	for i := range n {
		size := int(b.vector.headers[i].size)
		if size == 0 && s.packets {
			return i
		}
		if b.vector.headers[i].Flags&unix.MSG_TRUNC != 0 {
			size = 0
		}
		b.frames[i] = b.room[i][:size]
	}
	return n
}

// Read reads one frame. It must not be mixed with a switch's reading.
func (s *Socket) Read(frame []byte) (int, error) {
	var n int
	var failure error
	err := s.raw.Read(func(fd uintptr) bool {
		n, _, failure = unix.Recvfrom(int(fd), frame, unix.MSG_DONTWAIT)
		return failure != unix.EAGAIN && failure != unix.EINTR
	})
	if err == nil {
		err = failure
	}
	if err == nil && n == 0 && s.packets {
		err = io.EOF
	}
	return max(n, 0), err
}

// Write sends one frame.
func (s *Socket) Write(frame []byte) (int, error) {
	n, err := s.WriteFrames([][]byte{frame})
	switch {
	case err != nil:
		return 0, err
	case n == 0:
		return 0, unix.EAGAIN
	}
	return len(frame), nil
}

// WriteFrames sends frames, as many as there is room for.
func (s *Socket) WriteFrames(frames [][]byte) (int, error) {
	v, _ := vectors.Get().(*vector)
	defer vectors.Put(v)
	sent := 0
	for sent < len(frames) {
		part := frames[sent:min(sent+batchSize, len(frames))]
		v.setAll(part)
		// Not raw.Write, which waits for others that wait for room.
		if err := s.raw.Control(v.sendTo); err != nil {
			return sent, err
		}
		sent += v.done
		if v.err != nil || v.done < len(part) {
			return sent, v.err
		}
	}
	return sent, nil
}

// awaitRoom waits until a good part of the frames that the kernel holds has
// been read.
func (s *Socket) awaitRoom() error {
	return s.raw.Write(func(fd uintptr) bool {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		n, err := unix.Poll(poll, 0)
		return n != 0 || err != nil && err != unix.EINTR
	})
}

// unread is the kernel's count of what the peer has not read (SIOCOUTQ,
// unix(7)).
func (s *Socket) unread() int {
	n := 0
	// Without an answer there is no progress.
	_ = s.raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
	return n
}

// vectors are what WriteFrames needs.
var vectors = sync.Pool{New: func() any { return newVector(batchSize) }}
