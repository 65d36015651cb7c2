package netswitch

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// message is the kernel's struct mmsghdr (recvmmsg(2)).
type message struct {
	unix.Msghdr
	size uint32
}

// vector is the argument of recvmmsg and sendmmsg.
type vector struct {
	headers []message
	parts   []unix.Iovec
	// used is how many are set; done and err are what sendTo came to.
	used, done int
	err        error
	sendTo     func(fd uintptr)
}

func newVector(size int) *vector {
	v := &vector{headers: make([]message, size), parts: make([]unix.Iovec, size)}
	for i := range v.headers {
		v.headers[i].Iov = &v.parts[i]
		v.headers[i].SetIovlen(1)
	}
	v.sendTo = v.send
	return v
}

// setAll points at frames; none of them is empty.
func (v *vector) setAll(frames [][]byte) {
	for i, f := range frames {
		v.parts[i].Base = unsafe.SliceData(f)
		v.parts[i].SetLen(len(f))
	}
	v.used = len(frames)
}

// receive reads what is there, or fails with EAGAIN.
func (v *vector) receive(fd uintptr) (int, error) {
	for {
		n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&v.headers[0])),
			uintptr(v.used), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}

// send sends what is set, as far as there is room.
func (v *vector) send(fd uintptr) {
	v.done, v.err = 0, nil
	for v.done < v.used {
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&v.headers[v.done])),
			uintptr(v.used-v.done), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		switch errno {
		case 0:
			v.done += int(n)
		case unix.EINTR:
		case unix.EAGAIN, unix.ENOBUFS:
			return
		default:
			v.err = errno
			return
		}
	}
}
