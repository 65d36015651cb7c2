// Package mconsoletest is a guest's management console without a guest: it
// parses requests as the kernel does and answers from a script. It is
// imported by tests only.
package mconsoletest

import (
	"bytes"
	"encoding/binary"
	"net"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

const (
	magic   = 0xcafebabe
	version = 2
	maxData = 512
	piece   = maxData - 1 // the most text that the kernel puts in a datagram
)

var order = binary.NativeEndian

// Reply is the answer to one request.
type Reply struct {
	// Err is the code of the first fragment.
	Err int32
	// Parts are the datagrams' texts. None means one empty datagram. Texts
	// longer than a datagram are split as the kernel splits them.
	Parts []string
	// Raw is sent as it is instead of the above.
	Raw []byte
	// Silent sends nothing at all.
	Silent bool
}

// Handler answers a command.
type Handler func(command string) Reply

// Guest is a fake guest that listens on a mconsole socket.
type Guest struct {
	// Path is the socket's path.
	Path string

	conn    *net.UnixConn
	handler Handler
	done    chan struct{}

	mu       sync.Mutex // guards commands
	commands []string
}

// Start makes a fake guest at path that ends with the test. handler runs in
// one goroutine, request by request.
func Start(t testing.TB, path string, handler Handler) *Guest {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: path})
	if err != nil {
		t.Fatal(err)
	}
	g := &Guest{Path: path, conn: conn, handler: handler, done: make(chan struct{})}
	go g.serve()
	t.Cleanup(g.Stop)
	return g
}

// Stop closes the socket and waits for the guest's goroutine.
func (g *Guest) Stop() {
	g.conn.Close()
	<-g.done
}

// Commands returns the commands received so far.
func (g *Guest) Commands() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]string(nil), g.commands...)
}

// Queued reports whether a request waits that the guest has not read yet.
func (g *Guest) Queued() bool {
	raw, err := g.conn.SyscallConn()
	if err != nil {
		return false
	}
	queued := false
	_ = raw.Control(func(fd uintptr) {
		var b [1]byte
		_, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		queued = err == nil
	})
	return queued
}

func (g *Guest) serve() {
	defer close(g.done)
	buffer := make([]byte, 12+maxData)
	for {
		n, from, err := g.conn.ReadFromUnix(buffer)
		if err != nil {
			return
		}
		for _, packet := range g.answer(buffer[:n]) {
			if from != nil && from.Name != "" {
				// A client that has gone is none of a guest's business.
				_, _ = g.conn.WriteToUnix(packet, from)
			}
		}
	}
}

// answer follows mconsole_get_request (arch/um/drivers/mconsole_user.c): the
// same checks in the same order.
func (g *Guest) answer(packet []byte) [][]byte {
	if len(packet) < 12 || order.Uint32(packet) != magic {
		return [][]byte{[]byte("ERR Version 0 mconsole clients are not supported by this driver")}
	}
	length := order.Uint32(packet[8:])
	if length >= maxData {
		return encode(Reply{Err: 1, Parts: []string{"Request too large"}})
	}
	var out [][]byte
	if order.Uint32(packet[4:]) != version {
		out = encode(Reply{Err: 1, Parts: []string{"This driver only supports version 2 clients"}})
	}
	data := packet[12:]
	command := string(data[:min(int(length), len(data))])
	command, _, _ = strings.Cut(command, "\x00")
	g.mu.Lock()
	g.commands = append(g.commands, command)
	g.mu.Unlock()
	return append(out, encode(g.handler(command))...)
}

// encode splits a reply into datagrams as mconsole_reply_len does.
func encode(r Reply) [][]byte {
	if r.Silent {
		return nil
	}
	if r.Raw != nil {
		return [][]byte{r.Raw}
	}
	var pieces []string
	for _, part := range r.Parts {
		for len(part) > piece {
			pieces = append(pieces, part[:piece])
			part = part[piece:]
		}
		pieces = append(pieces, part)
	}
	if len(pieces) == 0 {
		pieces = []string{""}
	}
	code := r.Err
	var out [][]byte
	for i, text := range pieces {
		more := uint32(0)
		if i < len(pieces)-1 {
			more = 1
		}
		out = append(out, datagram(code, more, text))
		code = 0
	}
	return out
}

func datagram(code int32, more uint32, text string) []byte {
	var b bytes.Buffer
	for _, v := range []uint32{uint32(code), more, uint32(len(text) + 1)} {
		b.Write(order.AppendUint32(nil, v))
	}
	b.WriteString(text)
	b.WriteByte(0)
	return b.Bytes()
}
