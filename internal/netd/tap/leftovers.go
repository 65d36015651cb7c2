package tap

import (
	"errors"
	"fmt"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"virtumld/internal/supervisor/process"
)

// aliasFormat marks the devices that outlive their process with who that is:
// its pid and start time.
const aliasFormat = "virtumld:%d:%d"

// ownAlias is the mark of this process's devices.
func ownAlias() (string, error) {
	id, err := process.Of(os.Getpid())
	if err != nil {
		return "", err
	}
	return fmt.Sprintf(aliasFormat, id.PID, id.Start), nil
}

// RemoveLeftovers removes the macvtaps of processes that were killed. What
// cannot be removed stays: the device that is opened next says if that hurts.
func RemoveLeftovers() {
	links, err := netlink.LinkList()
	if err != nil {
		return
	}
	for _, link := range links {
		var id process.ID
		n, err := fmt.Sscanf(link.Attrs().Alias, aliasFormat, &id.PID, &id.Start)
		if link.Type() == "macvtap" && err == nil && n == 2 && isGone(id) {
			_ = removeLink(link)
		}
	}
}

// isGone reports whether a process has ended, if its parent knows of it or not.
func isGone(id process.ID) bool {
	fd, err := id.Open()
	if err != nil {
		return errors.Is(err, unix.ESRCH)
	}
	defer unix.Close(fd)
	ended := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(ended, 0)
	return err == nil && n > 0
}
