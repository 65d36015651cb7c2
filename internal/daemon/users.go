package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os/user"
	"strconv"
	"strings"

	"virtumld/internal/config"
	"virtumld/internal/sock"
	"virtumld/internal/supervisor"
)

// socketGroup is the group of the system instance's sockets when the settings
// name none.
const socketGroup = "libvirt"

// guestUsers are whom the system instance's guests run as when the settings
// name nobody: the first that exists.
var guestUsers = []string{"libvirt-uml", "libvirt-qemu", "nobody"}

// socketAccess is the group and the mode of the system instance's read-write
// socket. Without a group to give it to, only its owner may use it.
func socketAccess(c config.Config) (gid int, mode fs.FileMode, err error) {
	name := c.SocketGroup
	if name == "" {
		name = socketGroup
	}
	gid, err = groupID(name)
	var unknown user.UnknownGroupError
	switch {
	case err == nil:
		return gid, c.ReadWritePerms, nil
	case c.SocketGroup == "" && errors.As(err, &unknown):
		return sock.KeepGroup, withoutGroup(c.ReadWritePerms), nil
	default:
		return 0, 0, fmt.Errorf("unix_sock_group: %w", err)
	}
}

func withoutGroup(mode fs.FileMode) fs.FileMode { return mode &^ 0o070 }

// guestUser is whom the system instance's guests run as.
func guestUser(c config.Config) (*supervisor.User, error) {
	names := guestUsers
	if c.User != "" {
		names = []string{c.User}
	}
	uid, gid, err := firstUser(names)
	if err != nil {
		return nil, fmt.Errorf("user: %w", err)
	}
	if c.Group != "" {
		if gid, err = groupID(c.Group); err != nil {
			return nil, fmt.Errorf("group: %w", err)
		}
	}
	return &supervisor.User{UID: uid, GID: gid}, nil
}

// firstUser finds the first of names that exists, and its group.
func firstUser(names []string) (uid, gid int, err error) {
	for _, name := range names {
		if uid, gid, err = userIDs(name); err == nil {
			return uid, gid, nil
		}
	}
	return 0, 0, err
}

// userIDs resolves a user's name or number. A number that no user has is its
// own group's too.
func userIDs(name string) (uid, gid int, err error) {
	if number, ok := numericID(name); ok {
		u, err := user.LookupId(strconv.Itoa(number))
		if err != nil {
			return number, number, nil
		}
		gid, err = strconv.Atoi(u.Gid)
		return number, gid, err
	}
	u, err := user.Lookup(name)
	if err != nil {
		return 0, 0, err
	}
	if uid, err = strconv.Atoi(u.Uid); err != nil {
		return 0, 0, err
	}
	gid, err = strconv.Atoi(u.Gid)
	return uid, gid, err
}

// groupID resolves a group's name or number.
func groupID(name string) (int, error) {
	if number, ok := numericID(name); ok {
		return number, nil
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(g.Gid)
}

// numericID reads "+1000" or "1000", as qemu.conf writes ids.
func numericID(text string) (int, bool) {
	n, err := strconv.ParseUint(strings.TrimPrefix(text, "+"), 10, 31)
	return int(n), err == nil
}
