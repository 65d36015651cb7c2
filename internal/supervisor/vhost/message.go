package vhost

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"

	"golang.org/x/sys/unix"
)

// Requests that are looked into.
const (
	getFeatures         = 1
	setFeatures         = 2
	getVringBase        = 11
	getProtocolFeatures = 15
	setProtocolFeatures = 16
	setBackendChannel   = 21
	getConfig           = 24
)

// Flags of a message.
const (
	version   = 1
	isReply   = 1 << 2
	needReply = 1 << 3
)

// headerLength and the limits of a message: bytes of its payload, files that
// come with it. The kernel's largest has 8 regions of memory.
const (
	headerLength = 12
	maxPayload   = 4096
	maxFiles     = 16
)

// message is one request or reply.
type message struct {
	request, flags uint32
	payload        []byte
	// files are bare descriptors: Go's poller would wake this process for
	// what passes between kernel and back end.
	files []int
}

// receive reads one message. The caller closes it, after an error as well.
func receive(conn *net.UnixConn) (message, error) {
	header, space := make([]byte, headerLength), make([]byte, unix.CmsgSpace(4*maxFiles))
	n, spaceLength, flags, _, err := conn.ReadMsgUnix(header, space)
	if err != nil {
		return message{}, err
	}
	m := message{}
	if m.files, err = takeFiles(space[:spaceLength]); err != nil {
		return m, err
	}
	switch {
	case n == 0:
		return m, io.EOF
	case flags&unix.MSG_CTRUNC != 0:
		return m, fmt.Errorf("a message with more than %d files", maxFiles)
	}
	if _, err := io.ReadFull(conn, header[n:]); err != nil {
		return m, err
	}
	m.request, m.flags = binary.NativeEndian.Uint32(header), binary.NativeEndian.Uint32(header[4:])
	size := binary.NativeEndian.Uint32(header[8:])
	if size > maxPayload {
		return m, fmt.Errorf("a message of %d bytes, more than %d", size, maxPayload)
	}
	m.payload = make([]byte, size)
	_, err = io.ReadFull(conn, m.payload)
	return m, err
}

func takeFiles(space []byte) ([]int, error) {
	controls, err := unix.ParseSocketControlMessage(space)
	if err != nil {
		return nil, err
	}
	var files []int
	for _, control := range controls {
		list, err := unix.ParseUnixRights(&control)
		if err != nil {
			return files, err
		}
		files = append(files, list...)
	}
	return files, nil
}

// send writes m, with its files.
func (m message) send(conn *net.UnixConn) error {
	out := make([]byte, 0, headerLength+len(m.payload))
	out = binary.NativeEndian.AppendUint32(out, m.request)
	out = binary.NativeEndian.AppendUint32(out, m.flags)
	out = binary.NativeEndian.AppendUint32(out, uint32(len(m.payload)))
	out = append(out, m.payload...)
	var rights []byte
	if len(m.files) > 0 {
		rights = unix.UnixRights(m.files...)
	}
	_, _, err := conn.WriteMsgUnix(out, rights, nil)
	return err
}

// close closes m's files.
func (m message) close() {
	for _, fd := range m.files {
		_ = unix.Close(fd)
	}
}

// answer is the reply to m with that payload.
func (m message) answer(payload []byte) message {
	return message{request: m.request, flags: version | isReply, payload: payload}
}

// number is the payload of a message that has one.
func (m message) number() (uint64, bool) {
	if len(m.payload) != 8 {
		return 0, false
	}
	return binary.NativeEndian.Uint64(m.payload), true
}

// withNumber is m with another number as its payload.
func (m message) withNumber(n uint64) message {
	m.payload = binary.NativeEndian.AppendUint64(nil, n)
	return m
}
