package mconsole

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// relaySendSeconds is how long a relay waits for a client that does not read
// its answer, before it drops the rest.
const relaySendSeconds = 1

// Relay is a mconsole socket that stands for a guest's own: it passes each
// request on and brings the answer back. A guest in namespaces of its own
// cannot answer uml_mconsole, which has an abstract address; a relay in the
// host's namespaces can. Requests go one at a time, whoever sends them.
type Relay struct {
	path   string
	fd     int // blocking: see send
	guest  *Client
	cancel context.CancelFunc
	ended  chan struct{}
	close  func() error
}

// Serve starts a relay at path for the guest that client speaks to. A stale
// socket of that name is replaced.
func Serve(path string, client *Client) (*Relay, error) {
	fd, err := bindPath(path, 0)
	if err != nil {
		return nil, fmt.Errorf("mconsole: cannot serve %s: %w", path, err)
	}
	limit := unix.Timeval{Sec: relaySendSeconds}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("mconsole: cannot serve %s: %w", path, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &Relay{path: path, fd: fd, guest: client, cancel: cancel, ended: make(chan struct{})}
	r.close = sync.OnceValue(r.shutdown)
	go r.run(ctx)
	return r, nil
}

// Close ends the relay, gives up a request under way, and removes the socket.
func (r *Relay) Close() error { return r.close() }

func (r *Relay) shutdown() error {
	r.cancel()
	// This wakes the reader, which closing the descriptor would not.
	err := unix.Shutdown(r.fd, unix.SHUT_RDWR)
	<-r.ended
	unix.Close(r.fd)
	if removeErr := os.Remove(r.path); err == nil && !os.IsNotExist(removeErr) {
		err = removeErr
	}
	return err
}

func (r *Relay) run(ctx context.Context) {
	defer close(r.ended)
	buffer := make([]byte, requestHeader+maxData)
	for {
		n, from, err := receiveFrom(r.fd, buffer)
		switch {
		case ctx.Err() != nil:
			return
		case err == unix.EINTR:
			continue
		case err != nil:
			return
		case len(from) > 0: // an unbound client cannot be answered
			r.forward(ctx, buffer[:n], from)
		}
	}
}

// forward passes one request on and its answer's datagrams back, unchanged.
func (r *Relay) forward(ctx context.Context, packet []byte, from address) {
	ctx, cancel := context.WithTimeout(ctx, timeout(commandOf(packet)))
	defer cancel()
	err := r.guest.exchange(ctx, packet, func(answer []byte) (bool, error) {
		if err := sendTo(r.fd, answer, from); err != nil {
			return false, nil // the client has gone or does not read
		}
		part, err := parseReply(answer)
		return err == nil && part.more, nil
	})
	if err != nil && ctx.Err() != context.Canceled {
		// A client that has gone needs no explanation.
		_ = sendTo(r.fd, appendReply(nil, 1, err.Error()), from)
	}
}

// commandOf is the text of a request, for its time limit.
func commandOf(packet []byte) string {
	if len(packet) < requestHeader {
		return ""
	}
	text, _, _ := bytes.Cut(packet[requestHeader:], []byte{0})
	return string(text)
}
