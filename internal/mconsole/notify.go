package mconsole

import (
	"bytes"
	"fmt"
)

// NotifyType says what a kernel reports (enum in arch/um/drivers/mconsole.h).
type NotifyType uint32

// What kernels report.
const (
	// Ready: the management console is open; Text is its socket's path as
	// the kernel sees it. A restart in place reports it again.
	Ready NotifyType = iota
	// Panic: the kernel has panicked; Text is its message.
	Panic
	// Hang: uml_watchdog found the kernel hung.
	Hang
	// User: a process of the guest wrote Text to /proc/mconsole.
	User
)

// Notification is one report of a kernel. Its Text is the guest's word: up to
// 512 bytes of anything.
type Notification struct {
	Type NotifyType
	Text string
}

// ParseNotify reads one packet of the notify socket.
func ParseNotify(packet []byte) (Notification, error) {
	if len(packet) < notifyHeader {
		return Notification{}, fmt.Errorf("mconsole: notification of %d bytes, shorter than its header", len(packet))
	}
	if got := order.Uint32(packet); got != magic {
		return Notification{}, fmt.Errorf("mconsole: notification with magic %#x instead of %#x", got, uint32(magic))
	}
	if got := order.Uint32(packet[4:]); got != version {
		return Notification{}, fmt.Errorf("mconsole: notification of protocol version %d, want %d", got, version)
	}
	kind := NotifyType(order.Uint32(packet[8:]))
	if kind > User {
		return Notification{}, fmt.Errorf("mconsole: notification of unknown type %d", kind)
	}
	length := order.Uint32(packet[12:])
	data := packet[notifyHeader:]
	if uint64(length) > uint64(len(data)) {
		return Notification{}, fmt.Errorf("mconsole: notification says %d bytes of text but carries %d", length, len(data))
	}
	data = data[:length]
	if kind != User {
		data = bytes.TrimSuffix(data, []byte{0})
	}
	return Notification{Type: kind, Text: string(data)}, nil
}
