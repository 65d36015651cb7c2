package supervisor

import (
	"crypto/rand"
	"encoding/binary"
	"net"
	"path"
	"time"

	"virtumld/internal/mconsole"
	"virtumld/internal/rundir"
)

// noticeTime is how long a dead kernel's last notifications are waited for.
const noticeTime = 2 * time.Second

// lastNotices takes what a kernel that is dead had sent before. What is in the
// socket is read by another goroutine, so a notification of our own, sent
// after the kernel's last, marks the end.
func (g *guest) lastNotices() {
	mark := rand.Text()
	if err := sendNotice(g.spec.uml(), mark); err != nil {
		g.log("cannot wait for the kernel's last notifications: %v", err)
		return
	}
	deadline := time.After(noticeTime)
	for {
		select {
		case n := <-g.held.notify.Notifications():
			if n.Text == mark {
				return
			}
			g.notice(n)
		case <-deadline:
			return
		}
	}
}

// sendNotice sends a notification in the way of a kernel: magic, version,
// type, length, text (struct mconsole_notify, arch/um/drivers/mconsole.h).
func sendNotice(dir, text string) error {
	const magic, version = 0xcafebabe, 2
	packet := binary.NativeEndian.AppendUint32(nil, magic)
	packet = binary.NativeEndian.AppendUint32(packet, version)
	packet = binary.NativeEndian.AppendUint32(packet, uint32(mconsole.Hang))
	packet = binary.NativeEndian.AppendUint32(packet, uint32(len(text)))
	packet = append(packet, text...)
	return rundir.Within(dir, func(folder string) error {
		conn, err := net.Dial("unixgram", folder+"/"+path.Base(GuestNotify))
		if err != nil {
			return err
		}
		defer conn.Close()
		if err := conn.SetWriteDeadline(time.Now().Add(noticeTime)); err != nil {
			return err
		}
		_, err = conn.Write(packet)
		return err
	})
}
