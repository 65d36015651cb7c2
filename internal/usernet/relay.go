package usernet

import (
	"context"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// relayBuffer is how much is carried at a time, in bytes.
const relayBuffer = 256 << 10

// Limits of connections of which one direction has ended.
const (
	// halfClosedIdle ends one in which nothing is said for so long.
	halfClosedIdle = time.Hour
	// finishLimit is how long a guest is given to take the rest.
	finishLimit = time.Minute
)

// bufferPool has buffers of relayBuffer bytes. A connection has one only while
// it carries data, so that idle ones cost little.
type bufferPool struct{ pool sync.Pool }

var buffers = &bufferPool{sync.Pool{New: func() any { return (*[relayBuffer]byte)(make([]byte, relayBuffer)) }}}

func (p *bufferPool) get() []byte  { return p.pool.Get().(*[relayBuffer]byte)[:] }
func (p *bufferPool) put(b []byte) { p.pool.Put((*[relayBuffer]byte)(b[:relayBuffer])) }

// relay joins a connection of the host and one of a guest. An end of data is
// passed on alone; a failure ends both.
type relay struct {
	host  *net.TCPConn
	guest *guestConn

	ctx    context.Context
	cancel context.CancelFunc
	mu     sync.Mutex
	idle   *time.Timer // set when one direction has ended
}

func newRelay(host *net.TCPConn, guest *guestConn) *relay {
	r := &relay{host: host, guest: guest}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	guest.tune()
	return r
}

// run carries data until both directions have ended.
func (r *relay) run() {
	defer r.cancel()
	var toHost sync.WaitGroup
	toHost.Go(func() { r.ended(r.carryToHost()) })
	r.ended(r.carryToGuest())
	toHost.Wait()
	r.mu.Lock()
	if r.idle != nil {
		r.idle.Stop()
	}
	r.mu.Unlock()
	r.host.Close()
	r.guest.finish(r.ctx, finishLimit)
}

// ended notes that a direction has ended, well or not.
func (r *relay) ended(err error) {
	if err != nil {
		r.abort()
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.idle == nil {
		r.idle = time.AfterFunc(halfClosedIdle, r.abort)
	}
}

// carried notes that data has passed.
func (r *relay) carried() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.idle != nil {
		r.idle.Reset(halfClosedIdle)
	}
}

// abort ends the connection on both sides at once.
func (r *relay) abort() {
	r.cancel()
	reset(r.host)
	r.guest.abort()
}

func (r *relay) carryToHost() error {
	for {
		data, err := r.guest.read(buffers)
		if err == io.EOF {
			return r.host.CloseWrite()
		}
		if err != nil {
			return err
		}
		_, err = r.host.Write(data)
		buffers.put(data)
		if err != nil {
			return err
		}
		r.carried()
	}
}

func (r *relay) carryToGuest() error {
	raw, err := r.host.SyscallConn()
	if err != nil {
		return err
	}
	for {
		data, err := readHost(raw, buffers)
		if err != nil {
			return err
		}
		if len(data) == 0 {
			buffers.put(data)
			r.guest.closeWrite()
			return nil
		}
		err = r.guest.write(data)
		buffers.put(data)
		if err != nil {
			return err
		}
		r.carried()
	}
}

// readHost waits for data, or a datagram, and reads it into a buffer that it
// takes from the pool only then. The caller puts it back. Of a stream, no data
// is the end.
func readHost(raw syscall.RawConn, p *bufferPool) ([]byte, error) {
	var data []byte
	var failed error
	err := raw.Read(func(fd uintptr) bool {
		whole := p.get()
		n, err := unix.Read(int(fd), whole)
		for err == unix.EINTR {
			n, err = unix.Read(int(fd), whole)
		}
		if err != nil {
			p.put(whole)
			failed = os.NewSyscallError("read", err)
			return err != unix.EAGAIN
		}
		data, failed = whole[:n], nil
		return true
	})
	if err != nil {
		return nil, err
	}
	return data, failed
}
