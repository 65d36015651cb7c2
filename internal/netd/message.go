package netd

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// The control socket is a SOCK_SEQPACKET one and carries JSON documents:
// requests one way, answers the other. A document is cut into packets, since
// the kernel bounds a packet by the socket's send buffer: each begins with a
// byte that tells whether it is the last. A descriptor comes with the first.
const (
	partLast byte = 0
	partMore byte = 1
)

// maxPart bounds what a packet carries of a document, maxDocument the document,
// in bytes: a state of some thousand ports is far smaller.
const (
	maxPart     = 60 << 10
	maxDocument = 16 << 20
)

// command is what is asked of a network's process.
type command string

const (
	cmdState     command = "state"
	cmdConfigure command = "configure"
	cmdSetPort   command = "set-port"
	cmdForget    command = "forget-port"
	// cmdPlug and cmdCapture come with a descriptor and last as long as the
	// connection.
	cmdPlug    command = "plug"
	cmdCapture command = "capture"
)

// request is a command with its arguments. Each is answered by one report.
type request struct {
	ID      int
	Command command
	Spec    *Spec  `json:",omitempty"`
	Port    *Port  `json:",omitempty"`
	PortID  string `json:",omitempty"`
}

// report is what the process tells: first on each connection that it serves,
// or why not; then answers; and why a plug or a capture has come to its end.
type report struct {
	ID    int     `json:",omitempty"`
	Error *remote `json:",omitempty"`
	State *State  `json:",omitempty"`
	// GuestClosed ends a plug.
	GuestClosed bool `json:",omitempty"`
	// Ended ends a capture; Error is why.
	Ended bool `json:",omitempty"`
}

// channel is one end of a control connection.
type channel struct {
	*net.UnixConn
	raw syscall.RawConn
}

func newChannel(conn *net.UnixConn) (*channel, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	return &channel{conn, raw}, nil
}

// send sends a document, and a copy of file's descriptor unless it is nil.
func (c *channel) send(v any, file *os.File) error {
	document, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(document) > maxDocument {
		return fmt.Errorf("a message of %d bytes is too large", len(document))
	}
	if file == nil {
		return c.sendParts(document, nil)
	}
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	// The descriptor stays open until it is sent.
	controlErr := raw.Control(func(fd uintptr) { err = c.sendParts(document, unix.UnixRights(int(fd))) })
	return errors.Join(controlErr, err)
}

func (c *channel) sendParts(document, rights []byte) error {
	for {
		part := document[:min(len(document), maxPart)]
		document = document[len(part):]
		mark := partMore
		if len(document) == 0 {
			mark = partLast
		}
		if _, _, err := c.WriteMsgUnix(append([]byte{mark}, part...), rights, nil); err != nil {
			return err
		}
		if mark == partLast {
			return nil
		}
		rights = nil
	}
}

// receive takes a document, and the descriptor that came with it or nil. At the
// peer's end the error is io.EOF.
func (c *channel) receive(v any) (*os.File, error) {
	var document []byte
	var file *os.File
	for {
		packet, sent, err := c.receivePacket()
		if sent != nil {
			closeFile(file)
			file = sent
		}
		if err == nil && len(document)+len(packet) > maxDocument {
			err = errors.New("the peer's message is too large")
		}
		if err != nil {
			closeFile(file)
			return nil, err
		}
		document = append(document, packet[1:]...)
		if packet[0] == partLast {
			break
		}
	}
	if err := json.Unmarshal(document, v); err != nil {
		closeFile(file)
		return nil, err
	}
	return file, nil
}

func closeFile(file *os.File) {
	if file != nil {
		file.Close()
	}
}

// receivePacket takes one packet. Its room is made once it is there: nearly all
// connections wait nearly all of the time.
func (c *channel) receivePacket() (packet []byte, file *os.File, err error) {
	var failure error
	err = c.raw.Read(func(fd uintptr) bool {
		packet, file, failure = readPacket(int(fd))
		return failure != unix.EAGAIN
	})
	if err = errors.Join(err, failure); err == nil && len(packet) == 0 {
		err = io.EOF
	}
	return packet, file, err
}

// readPacket takes one packet from a socket that does not block.
func readPacket(fd int) ([]byte, *os.File, error) {
	for {
		size, _, err := unix.Recvfrom(fd, nil, unix.MSG_PEEK|unix.MSG_TRUNC|unix.MSG_DONTWAIT)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		if size > maxPart+1 {
			return nil, nil, fmt.Errorf("a packet of %d bytes is too large", size)
		}
		packet, control := make([]byte, size), make([]byte, unix.CmsgSpace(4*4))
		n, used, _, _, err := unix.Recvmsg(fd, packet, control, unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC)
		if err == unix.EINTR {
			continue
		}
		return packet[:max(n, 0)], oneFile(control[:max(used, 0)]), err
	}
}

// oneFile returns the first descriptor of a control message and closes the
// others.
func oneFile(control []byte) *os.File {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return nil
	}
	var file *os.File
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			continue
		}
		for _, fd := range fds {
			if file != nil {
				unix.Close(fd)
				continue
			}
			file = os.NewFile(uintptr(fd), "passed")
		}
	}
	return file
}
