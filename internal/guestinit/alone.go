package guestinit

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// alone is the life of a guest that "virtuml run" has not started: a domain
// whose disk is an image without an init of its own. The image's command, or a
// shell, has the console as its terminal, and the guest ends with it. setup is
// what the mounting has said.
func alone(setup error) {
	console, err := os.OpenFile("/dev/tty0", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		fail(err)
	}
	if setup != nil {
		os.Stderr.WriteString("virtuml init: " + setup.Error() + "\n")
	}
	g := newGuest(console, Spec{Env: []string{"TERM=vt100"}})
	g.alone = true
	if result := g.run(); result.Error != "" {
		os.Stderr.WriteString("virtuml init: " + result.Error + "\n")
	}
	powerOff(false)
}

// grace is how long processes have between being asked to end and being ended.
const grace = 5 * time.Second

// endAll ends all processes, as a shutdown does. An interactive shell ends by
// SIGHUP only.
func endAll() {
	_ = unix.Kill(-1, unix.SIGTERM)
	_ = unix.Kill(-1, unix.SIGHUP)
	time.AfterFunc(grace, func() { _ = unix.Kill(-1, unix.SIGKILL) })
}
