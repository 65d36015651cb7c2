package vhostnet

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"

	"golang.org/x/sys/unix"
)

// Requests of a front end (vhost-user.rst, "Front-end message types").
const (
	getFeatures         = 1
	setFeatures         = 2
	setOwner            = 3
	resetOwner          = 4
	setMemTable         = 5
	setVringNum         = 8
	setVringAddr        = 9
	setVringBase        = 10
	getVringBase        = 11
	setVringKick        = 12
	setVringCall        = 13
	setVringErr         = 14
	getProtocolFeatures = 15
	setProtocolFeatures = 16
	setVringEnable      = 18
	setBackendReq       = 21
	getConfig           = 24
	setConfig           = 25
)

// Flags of a message.
const (
	flagVersion   = 1
	flagReply     = 1 << 2
	flagNeedReply = 1 << 3
)

const (
	headerLength = 12
	maxPayload   = 4096
	maxFiles     = 8
)

// message is one request: its payload and the files that came with it.
type message struct {
	request, flags uint32
	payload        []byte
	files          []int
}

// readMessage reads one. The caller closes its files.
func readMessage(conn *net.UnixConn) (message, error) {
	header, space := make([]byte, headerLength), make([]byte, unix.CmsgSpace(4*maxFiles))
	n, spaceLength, _, _, err := conn.ReadMsgUnix(header, space)
	if err != nil {
		return message{}, err
	}
	if n == 0 {
		return message{}, io.EOF
	}
	m := message{}
	if m.files, err = files(space[:spaceLength]); err != nil {
		return m, err
	}
	if _, err := io.ReadFull(conn, header[n:]); err != nil {
		return m, err
	}
	m.request, m.flags = binary.NativeEndian.Uint32(header), binary.NativeEndian.Uint32(header[4:])
	size := binary.NativeEndian.Uint32(header[8:])
	if size > maxPayload {
		return m, fmt.Errorf("a request %d of %d bytes", m.request, size)
	}
	m.payload = make([]byte, size)
	_, err = io.ReadFull(conn, m.payload)
	return m, err
}

func files(space []byte) ([]int, error) {
	controls, err := unix.ParseSocketControlMessage(space)
	if err != nil {
		return nil, err
	}
	var all []int
	for _, control := range controls {
		list, err := unix.ParseUnixRights(&control)
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
	}
	return all, nil
}

// reply answers m.
func reply(conn *net.UnixConn, m message, payload []byte) error {
	out := make([]byte, 0, headerLength+len(payload))
	out = binary.NativeEndian.AppendUint32(out, m.request)
	out = binary.NativeEndian.AppendUint32(out, flagVersion|flagReply)
	out = binary.NativeEndian.AppendUint32(out, uint32(len(payload)))
	_, err := conn.Write(append(out, payload...))
	return err
}

// number is the payload of a request that has one.
func (m message) number() uint64 {
	if len(m.payload) < 8 {
		return 0
	}
	return binary.NativeEndian.Uint64(m.payload)
}
