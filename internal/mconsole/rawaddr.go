package mconsole

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// address is a socket address as the kernel writes it. Go's own form ends at
// the first NUL; uml_mconsole's abstract name has NULs in it.
type address []byte

// receiveFrom reads one datagram and its sender's address, which is empty for
// a sender without one.
func receiveFrom(fd int, buffer []byte) (int, address, error) {
	var raw unix.RawSockaddrUnix
	length := uint32(unsafe.Sizeof(raw))
	n, _, errno := unix.Syscall6(unix.SYS_RECVFROM, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(buffer))), uintptr(len(buffer)), 0,
		uintptr(unsafe.Pointer(&raw)), uintptr(unsafe.Pointer(&length)))
	if errno != 0 {
		return 0, nil, errno
	}
	const family = uint32(unsafe.Sizeof(raw.Family))
	if length <= family {
		return int(n), nil, nil
	}
	length = min(length, uint32(unsafe.Sizeof(raw)))
	from := unsafe.Slice((*byte)(unsafe.Pointer(&raw)), length)
	return int(n), append(address(nil), from...), nil
}

// sendTo sends one datagram; it waits for room as long as the socket's
// SO_SNDTIMEO says.
func sendTo(fd int, packet []byte, to address) error {
	_, _, errno := unix.Syscall6(unix.SYS_SENDTO, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(packet))), uintptr(len(packet)), 0,
		uintptr(unsafe.Pointer(unsafe.SliceData(to))), uintptr(len(to)))
	if errno != 0 {
		return errno
	}
	return nil
}
