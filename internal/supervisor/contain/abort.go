package contain

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ExitAborted is the exit status of an isolated kernel that aborted, after a
// panic as a rule (uml_abort, arch/um/os-Linux/util.c).
const ExitAborted = 127

// Offsets in struct seccomp_data (include/uapi/linux/seccomp.h), whose
// arguments are 64 bits wide; their lower halves come first.
const (
	dataNumber = 0
	dataArg0   = 16
	dataArg1   = 24
)

// letAbort makes kill(1, SIGABRT) fail for the calling thread and what it
// becomes. A kernel that panics sends itself that signal again and again until
// it dies or the call fails, and the first process of a pid namespace cannot
// die of its own signals: it would spin for ever. When the call fails it exits
// with ExitAborted.
//
// Guest processes are not affected: their system calls are taken from their
// stubs before this filter by ptrace's emulation, and by the stronger verdict
// (SECCOMP_RET_TRAP) of the kernel's own filter in seccomp mode.
func letAbort() error {
	const failPermission = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	load := func(offset uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
	}
	unless := func(value uint32, skip uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: value, Jf: skip}
	}
	filter := []unix.SockFilter{
		load(dataNumber), unless(unix.SYS_KILL, 5),
		load(dataArg0), unless(1, 3),
		load(dataArg1), unless(uint32(unix.SIGABRT), 1),
		{Code: unix.BPF_RET | unix.BPF_K, K: failPermission},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	// Without SPEC_ALLOW older hosts slow down everything under a filter.
	_, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW, uintptr(unsafe.Pointer(&program)))
	runtime.KeepAlive(filter)
	if errno != 0 {
		return failed(StageNamespace, "install a system call filter", "", errno)
	}
	return nil
}
