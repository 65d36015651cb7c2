package netswitch

import (
	"io"
	"testing"

	"golang.org/x/sys/unix"
)

// source is a Conn that gives the same frames over and over, to see what
// forwarding alone costs.
type source struct {
	frames [][]byte
	left   int
	end    chan struct{}
}

func (s *source) ReadFrames(room [][]byte) (int, error) {
	if s.left <= 0 {
		<-s.end
		return 0, io.EOF
	}
	n := min(len(room), s.left)
	for i := range n {
		room[i] = room[i][:copy(room[i], s.frames[i%len(s.frames)])]
	}
	s.left -= n
	return n, nil
}

func (s *source) Read([]byte) (int, error)    { return 0, io.EOF }
func (s *source) Write(f []byte) (int, error) { return len(f), nil }
func (s *source) Close() error {
	select {
	case <-s.end:
	default:
		close(s.end)
	}
	return nil
}

// sink counts frames to the last.
type sink struct {
	source
	want, got int
	full      chan struct{}
}

func (s *sink) WriteFrames(frames [][]byte) (int, error) {
	if s.got += len(frames); s.got >= s.want && s.full != nil {
		close(s.full)
		s.full = nil
	}
	return len(frames), nil
}

// BenchmarkForward is the way of a frame from port to port without sockets.
func BenchmarkForward(b *testing.B) {
	for _, bb := range []struct {
		name   string
		frames [][]byte
	}{
		{"unicast", [][]byte{append(frame(2, 1, ""), make([]byte, 1486)...)}},
		{"broadcast", [][]byte{append(frame(everybody, 1, ""), make([]byte, 1486)...)}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			s := newTestSwitch(b)
			full := make(chan struct{})
			to := &sink{source: source{end: make(chan struct{})}, want: b.N, full: full}
			if _, err := s.Attach(PortConfig{}, to); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.SetBytes(1500)
			b.ResetTimer()
			if _, err := s.Attach(PortConfig{}, &source{frames: bb.frames, left: b.N, end: make(chan struct{})}); err != nil {
				b.Fatal(err)
			}
			<-full
		})
	}
}

// BenchmarkSockets is the way of a frame from guest to guest.
func BenchmarkSockets(b *testing.B) {
	s := newTestSwitch(b)
	from := connect(b, s, PortConfig{}, unix.SOCK_SEQPACKET)
	to := connect(b, s, PortConfig{}, unix.SOCK_SEQPACKET)
	to.send(frame(everybody, 2, ""))
	from.receive()
	f := append(frame(2, 1, ""), make([]byte, 1486)...)
	b.ReportAllocs()
	b.SetBytes(int64(len(f)))
	b.ResetTimer()
	go func() {
		for range b.N {
			if _, err := from.conn.Write(f); err != nil {
				return
			}
		}
	}()
	room := make([]byte, 2000)
	for i := 0; uint64(i)+to.port.Counters().RxDropped < uint64(b.N); i++ {
		if _, err := to.conn.Read(room); err != nil {
			b.Fatal(err)
		}
	}
}
