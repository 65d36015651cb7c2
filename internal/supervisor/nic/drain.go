package nic

import (
	"net"
	"time"

	"golang.org/x/sys/unix"

	"virtumld/internal/netswitch"
)

// drain throws away what the guest sends while it is plugged in nowhere, as a
// cable does that leads nowhere.
type drain struct {
	conn *net.UnixConn
	// closed is closed when the guest has closed its end.
	closed chan struct{}
	ended  chan struct{}
}

func startDrain(conn *net.UnixConn) *drain {
	d := &drain{conn: conn, closed: make(chan struct{}), ended: make(chan struct{})}
	// A copy of the connection that was handed to a process may have made
	// them all block.
	if raw, err := conn.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _ = unix.SetNonblock(int(fd), true) })
	}
	_ = conn.SetReadDeadline(time.Time{})
	go d.run()
	return d
}

func (d *drain) run() {
	defer close(d.ended)
	frame := make([]byte, netswitch.MaxFrame)
	for {
		_, err := d.conn.Read(frame)
		if err == nil {
			continue
		}
		if failure, ok := err.(net.Error); !ok || !failure.Timeout() {
			close(d.closed)
		}
		return
	}
}

// stop ends the drain and leaves the rest of what comes to others.
func (d *drain) stop() {
	_ = d.conn.SetReadDeadline(time.Unix(1, 0))
	<-d.ended
}
