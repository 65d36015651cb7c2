package tap

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// helperPaths are where QEMU's bridge helper is installed. It is setuid, and
// makes taps in the bridges that /etc/qemu/bridge.conf allows to users.
var helperPaths = []string{"/usr/lib/qemu/qemu-bridge-helper", "/usr/libexec/qemu-bridge-helper"}

// helperTime is how long the helper may take.
const helperTime = time.Minute

// bridgeHelper is the helper's path, or "".
func bridgeHelper() string {
	for _, path := range helperPaths {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path
		}
	}
	return ""
}

// openByHelper has the helper make a tap in a bridge. What only an
// administrator can change stays as the helper has made it.
func openByHelper(cfg Config, helper string) (*device, error) {
	if cfg.hasVLANs() {
		return nil, unsupported("an unprivileged process cannot put a port of the bridge %s into a VLAN", cfg.Bridge)
	}
	if cfg.Isolated {
		return nil, unsupported("an unprivileged process cannot isolate a port of the bridge %s", cfg.Bridge)
	}
	fd, err := runHelper(helper, cfg.Bridge)
	if err != nil {
		return nil, err
	}
	request, err := unix.NewIfreq("")
	if err == nil {
		err = unix.IoctlIfreq(fd, unix.TUNGETIFF, request)
	}
	if err != nil {
		return nil, errors.Join(failed(err, "%s: the descriptor that it sent is no tap", helper), unix.Close(fd))
	}
	return newTap(fd, request.Name(), cfg)
}

// runHelper returns the descriptor that the helper sends.
func runHelper(helper, bridge string) (int, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, failed(err, "cannot make a socket for %s", helper)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "helper"), os.NewFile(uintptr(pair[1]), "helper")
	defer ours.Close()
	err = askHelper(helper, bridge, theirs)
	theirs.Close() // so that ours ends where the helper sent nothing
	if err != nil {
		return -1, err
	}
	fd, err := receive(ours)
	if err != nil {
		return -1, failed(err, "%s: failed to retrieve file descriptor for interface", helper)
	}
	return fd, nil
}

// askHelper runs the helper, which sends the descriptor over socket.
func askHelper(helper, bridge string, socket *os.File) error {
	ctx, cancel := context.WithTimeout(context.Background(), helperTime)
	defer cancel()
	var stderr bytes.Buffer
	// The descriptor is the first after the standard ones.
	cmd := exec.CommandContext(ctx, helper, "--br="+bridge, "--fd=3")
	cmd.ExtraFiles, cmd.Stderr = []*os.File{socket}, &stderr
	if err := cmd.Run(); err != nil {
		return failed(err, "%s: failed to communicate with bridge helper: %s", helper, strings.TrimSpace(stderr.String()))
	}
	return nil
}

// receive takes the one descriptor that was sent over the socket. The sender
// has ended: nothing more will come.
func receive(socket *os.File) (int, error) {
	conn, err := net.FileConn(socket)
	if err != nil {
		return -1, err
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(helperTime)); err != nil {
		return -1, err
	}
	unixConn, ok := conn.(*net.UnixConn)
	if !ok {
		return -1, fmt.Errorf("%T is not a Unix socket", conn)
	}
	oob := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unixConn.ReadMsgUnix(make([]byte, 1), oob)
	if err != nil {
		return -1, err
	}
	return descriptor(oob[:n])
}

func descriptor(oob []byte) (int, error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return -1, err
	}
	if len(messages) != 1 {
		return -1, errors.New("no descriptor was sent")
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return -1, err
	}
	if len(fds) != 1 {
		return -1, fmt.Errorf("%d descriptors were sent", len(fds))
	}
	unix.CloseOnExec(fds[0])
	return fds[0], nil
}
