package mconsole

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
)

// maxReply bounds the text of one answer, in bytes. The longest known, a
// sysrq task list, is far below.
const maxReply = 16 << 20

// Client sends commands to one guest. It keeps one request in flight; callers
// queue, each within its own context. The zero Client is not usable: see New.
type Client struct {
	path     string
	replyDir string
	turn     chan struct{} // holds one token: the right to speak
}

// An Option changes how a Client speaks to its guest.
type Option func(*Client)

// ReplyIn lets the client be answered in the folder dir instead of at an
// abstract address. A guest in a network namespace of its own cannot reach an
// abstract address of ours; it reaches a socket in its working folder, so dir
// is that folder as this process sees it.
func ReplyIn(dir string) Option { return func(c *Client) { c.replyDir = dir } }

// New returns a client for the guest whose mconsole socket is at path. The
// socket need not exist yet. A client holds no resources between requests.
func New(path string, options ...Option) *Client {
	c := &Client{path: path, turn: make(chan struct{}, 1)}
	for _, option := range options {
		option(c)
	}
	c.turn <- struct{}{}
	return c
}

// Command sends command as it is and returns the answer's text. The error is
// an *Error when the guest refused, ErrTimeout or ErrNoGuest when it did not
// answer, ErrTooLong, or the context's.
//
// The command's own time limit applies besides ctx's.
func (c *Client) Command(ctx context.Context, command string) (string, error) {
	if len(command) > MaxCommand {
		return "", fmt.Errorf("%w: %d bytes of at most %d", ErrTooLong, len(command), MaxCommand)
	}
	if strings.ContainsRune(command, 0) {
		return "", fmt.Errorf("%w: it contains a NUL", ErrBadCommand)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout(command))
	defer cancel()
	var text bytes.Buffer
	refusal := int32(0)
	first := true
	err := c.exchange(ctx, appendRequest(nil, command), func(packet []byte) (bool, error) {
		part, err := parseReply(packet)
		if err != nil {
			return false, err
		}
		if first {
			refusal, first = part.err, false // later fragments say 0
		}
		if text.Len()+len(part.data) > maxReply {
			return false, fmt.Errorf("mconsole: answer longer than %d bytes", maxReply)
		}
		text.Write(part.data)
		return part.more, nil
	})
	if err != nil {
		return "", fmt.Errorf("%s: %w", verb(command), err)
	}
	if refusal != 0 {
		return "", fmt.Errorf("%s: %w", verb(command), &Error{Err: refusal, Text: strings.TrimSpace(text.String())})
	}
	return text.String(), nil
}

// exchange waits for its turn, sends one packet and hands each datagram of the
// answer to receive until that says that no more follow.
func (c *Client) exchange(ctx context.Context, packet []byte, receive func([]byte) (more bool, err error)) error {
	select {
	case <-c.turn:
		defer func() { c.turn <- struct{}{} }()
	case <-ctx.Done():
		return c.late(ctx)
	}
	socket, closeSocket, err := c.openSocket()
	if err != nil {
		return err
	}
	defer closeSocket()
	stop := context.AfterFunc(ctx, func() { socket.SetDeadline(time.Unix(1, 0)) })
	defer stop()

	if _, err := socket.Write(packet); err != nil {
		return c.failed(ctx, "send", err)
	}
	buffer := make([]byte, replyHeader+maxData+1)
	for {
		n, err := socket.Read(buffer)
		if err != nil {
			return c.failed(ctx, "receive", err)
		}
		more, err := receive(buffer[:n])
		if err != nil || !more {
			return err
		}
	}
}

// failed translates an error of the socket.
func (c *Client) failed(ctx context.Context, doing string, err error) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return c.late(ctx)
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.ENOTCONN):
		return fmt.Errorf("%w: %s: %w", ErrNoGuest, c.path, err)
	default:
		return fmt.Errorf("mconsole: cannot %s at %s: %w", doing, c.path, err)
	}
}

// late tells a deadline, which is the guest's fault, from a cancelled caller.
func (c *Client) late(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%w: %s: %w", ErrTimeout, c.path, ctx.Err())
	}
	return ctx.Err()
}

// verb is a command's first word, for error texts.
func verb(command string) string {
	name, _, _ := strings.Cut(command, " ")
	return name
}

// replyName is a name for a reply socket that a guest's user cannot foresee.
func replyName() string { return "mconsole-" + rand.Text() }
