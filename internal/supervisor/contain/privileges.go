package contain

import (
	"golang.org/x/sys/unix"
)

// addrNoRandomize keeps the brk gap from being added to the guest's physical
// memory, where its page structs would cost the guest RAM
// (ADDR_NO_RANDOMIZE, include/uapi/linux/personality.h).
const addrNoRandomize = 0x0040000

// dropPrivileges leaves the calling thread without any capability and without
// a way to one, as the plan's user, and limits what a crash may write.
func dropPrivileges(plan *Plan) error {
	if _, _, errno := unix.RawSyscall(unix.SYS_PERSONALITY, addrNoRandomize, 0, 0); errno != 0 {
		return failed(StageSetup, "turn off address randomisation", "", errno)
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return failed(StageSetup, "forbid core dumps", "", err)
	}
	if err := dropBounding(); err != nil {
		return err
	}
	if plan.User != nil {
		if err := becomeUser(plan.User); err != nil {
			return err
		}
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		return failed(StageSetup, "drop capabilities", "", err)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return failed(StageSetup, "forbid new privileges", "", err)
	}
	if plan.Isolated {
		return letAbort()
	}
	return nil
}

// dropBounding empties the bounding set, so that execve as user 0 gains
// nothing. Who may not change it has no capability to lose.
func dropBounding() error {
	for capability := uintptr(0); ; capability++ {
		err := unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0)
		switch err {
		case nil:
		case unix.EINVAL, unix.EPERM: // past the last one; not privileged
			return nil
		default:
			return failed(StageSetup, "drop capabilities", "", err)
		}
	}
}

func becomeUser(user *User) error {
	// The raw calls change this thread only, which is the one that execs.
	if _, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0); errno != 0 {
		return failed(StageSetup, "drop groups", "", errno)
	}
	gid, uid := uintptr(user.GID), uintptr(user.UID)
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESGID, gid, gid, gid); errno != 0 {
		return failed(StageSetup, "change the group", "", errno)
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uid, uid, uid); errno != 0 {
		return failed(StageSetup, "change the user", "", errno)
	}
	return nil
}
