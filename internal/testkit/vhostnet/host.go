package vhostnet

import (
	"bytes"
	"net"
	"slices"
)

// hostMAC is the address of the network's host.
var hostMAC = net.HardwareAddr{0x52, 0x54, 0, 0xff, 0xff, 1}

const (
	etherHeader = 14
	ipHeader    = 20
	arpLength   = etherHeader + 28
)

// answer is what the host says to a frame: its address (RFC 826), or the echo
// that it was asked for (RFC 792). nil is nothing.
func (s *Switch) answer(frame []byte) []byte {
	if len(frame) < arpLength || !s.Host.Is4() {
		return nil
	}
	host := s.Host.AsSlice()
	switch {
	case bytes.Equal(frame[12:22], []byte{0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1}) && bytes.Equal(frame[38:42], host):
		return arpReply(frame, host)
	case frame[12] == 0x08 && frame[13] == 0 && frame[14] == 0x45 && frame[23] == 1 && bytes.Equal(frame[30:34], host) && frame[34] == 8:
		return echoReply(frame)
	}
	return nil
}

func arpReply(frame, host []byte) []byte {
	sender := frame[22:32] // its MAC and IP addresses
	reply := slices.Concat(sender[:6], hostMAC, frame[12:21], []byte{2}, hostMAC, host, sender)
	return append(reply, make([]byte, 60-len(reply))...)
}

// echoReply turns an echo request around. The checksum of IP stays, that of
// ICMP grows by what its type has lost (RFC 1624).
func echoReply(frame []byte) []byte {
	reply := slices.Clone(frame)
	copy(reply, frame[6:12])
	copy(reply[6:], hostMAC)
	copy(reply[26:], frame[30:34])
	copy(reply[30:], frame[26:30])
	const icmp = etherHeader + ipHeader
	reply[icmp] = 0
	sum := uint32(reply[icmp+2])<<8 | uint32(reply[icmp+3])
	sum += 8 << 8
	sum = sum&0xffff + sum>>16
	reply[icmp+2], reply[icmp+3] = byte(sum>>8), byte(sum)
	return reply
}
