package supervisor

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"

	libvirt "github.com/digitalocean/go-libvirt"
	"golang.org/x/sys/unix"

	"virtumld/internal/domxml"
	"virtumld/internal/virerr"
)

// The control socket carries one JSON document a packet (SOCK_SEQPACKET):
// requests one way, reports the other.

// maxPacket bounds a packet, in bytes.
const maxPacket = 128 << 10

// command is what a daemon asks of a supervisor.
type command string

const (
	cmdKill      command = "kill"
	cmdTerminate command = "terminate"
	cmdRun       command = "run"
	cmdReset     command = "reset"
	cmdExpect    command = "expect"
	cmdActions   command = "actions"
	cmdFreeze    command = "freeze"
	cmdThaw      command = "thaw"

	cmdOpenInterface   command = "open-interface"
	cmdCloseInterface  command = "close-interface"
	cmdUpdateInterface command = "update-interface"

	cmdOpenDisk  command = "open-disk"
	cmdCloseDisk command = "close-disk"

	// cmdNoted lets a supervisor whose guest has exited go.
	cmdNoted command = "noted"
)

// request is a command with its arguments. Every request is answered by a
// report with its ID, once it was carried out.
type request struct {
	ID      int
	Command command
	Intent  Intent   `json:",omitempty"`
	Actions *actions `json:",omitempty"`
	// Interface is the one to open or update; of one to close it is the
	// unit alone.
	Interface *Interface `json:",omitempty"`
	// Disk is the one to open; of one to close it is the unit alone.
	Disk *Disk `json:",omitempty"`
}

type actions struct {
	OnPoweroff, OnReboot, OnCrash domxml.Action
}

// report is what a supervisor tells: the answer to a request, an event, or,
// first on every connection, where the guest stands. Facts is in all of them.
type report struct {
	// ID is that of the request it answers, 0 for none.
	ID    int     `json:",omitempty"`
	Error *remote `json:",omitempty"`
	Event *Event  `json:",omitempty"`
	Facts *Facts  `json:",omitempty"`
}

// remote is an error that crosses the socket.
type remote struct {
	Code   libvirt.ErrorNumber
	Domain virerr.Domain
	Detail string
	Int1   int32 `json:",omitempty"`
}

func toRemote(err error) *remote {
	e := virerr.From(err)
	if e == nil {
		return nil
	}
	return &remote{Code: e.Code, Domain: e.Domain, Detail: e.Detail, Int1: e.Int1}
}

func (r *remote) error() error {
	e := virerr.In(r.Domain, r.Code, "%s", r.Detail)
	e.Int1 = r.Int1
	return e
}

// send writes v as one packet.
func send(conn *net.UnixConn, v any) error {
	packet, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(packet) > maxPacket {
		return fmt.Errorf("packet of %d bytes is too large", len(packet))
	}
	_, err = conn.Write(packet)
	return err
}

// receive reads one packet into v. An empty packet is the end.
//
// The packet's room is made once it is there: a daemon has a receiver for
// every guest, and nearly all of them wait nearly all of the time.
func receive(conn *net.UnixConn, v any) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var packet []byte
	var failure error
	err = raw.Read(func(fd uintptr) bool {
		packet, failure = readPacket(int(fd))
		return failure != unix.EAGAIN
	})
	if err := errors.Join(err, failure); err != nil {
		return err
	}
	if len(packet) == 0 {
		return errors.New("the peer has closed the connection")
	}
	return json.Unmarshal(packet, v)
}

// readPacket takes one packet from a socket that does not block.
func readPacket(fd int) ([]byte, error) {
	for {
		size, _, err := unix.Recvfrom(fd, nil, unix.MSG_PEEK|unix.MSG_TRUNC)
		if err == unix.EINTR {
			continue
		}
		if err != nil || size == 0 {
			return nil, err
		}
		if size > maxPacket {
			return nil, fmt.Errorf("packet of %d bytes is too large", size)
		}
		packet := make([]byte, size)
		_, _, err = unix.Recvfrom(fd, packet, 0)
		return packet, err
	}
}
