package vhost

import (
	"io"
	"net"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// FuzzSession: whatever the kernel and the back end say, a session ends when
// they do.
func FuzzSession(f *testing.F) {
	f.Add([]byte{24, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0}, []byte{1, 0, 0, 0, 5, 0, 0, 0, 8, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8})
	f.Add([]byte{21, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0}, []byte{24, 0, 0, 0, 5, 0, 0, 0, 13, 0, 0, 0, 0, 0, 0, 0, 1})
	f.Add([]byte{1, 0, 0, 0, 1, 0, 0, 0, 255, 255, 255, 255}, []byte{15})
	f.Fuzz(func(t *testing.T, fromKernel, fromBackEnd []byte) {
		front, kernel := socketPair(t)
		back, backEnd := socketPair(t)
		s := newSession(front, back, net.HardwareAddr{2, 0, 0, 0, 0, 1})
		speak(t, kernel, fromKernel)
		speak(t, backEnd, fromBackEnd)
		_ = s.run() // that it returns is the test
		s.end()
	})
}

// speak says all of what, and hears the rest of the conversation.
func speak(t *testing.T, conn *net.UnixConn, what []byte) {
	t.Helper()
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		_, _ = io.Copy(io.Discard, conn)
	}()
	go func() {
		_, _ = conn.Write(what) // the other side may end before
		_ = conn.CloseWrite()
	}()
	t.Cleanup(func() {
		conn.Close()
		<-heard
	})
}

func socketPair(t *testing.T) (a, b *net.UnixConn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return conn(t, fds[0]), conn(t, fds[1])
}

func conn(t *testing.T, fd int) *net.UnixConn {
	t.Helper()
	file := os.NewFile(uintptr(fd), "pair")
	defer file.Close()
	c, err := net.FileConn(file)
	if err != nil {
		t.Fatal(err)
	}
	return c.(*net.UnixConn)
}
