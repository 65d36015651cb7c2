package usernet

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// echoHeader is the length of an echo's header in ICMP and ICMPv6: type, code,
// checksum, identifier and sequence number.
const echoHeader = 8

// pinger makes ping sockets: SOCK_DGRAM sockets of ICMP, which Linux gives to
// the groups of net.ipv4.ping_group_range. The host chooses the identifier of
// what they send.
type pinger struct {
	mu sync.Mutex
	// denied keeps asking from being in vain for every packet.
	denied map[int]error
}

func newPinger() *pinger { return &pinger{denied: map[int]error{}} }

// dial makes a ping socket for one peer.
func (p *pinger) dial(to netip.Addr) (*net.UDPConn, error) {
	family, protocol := unix.AF_INET, unix.IPPROTO_ICMP
	var peer unix.Sockaddr = &unix.SockaddrInet4{Addr: [4]byte{}}
	if to.Is4() {
		peer = &unix.SockaddrInet4{Addr: to.As4()}
	} else {
		family, protocol = unix.AF_INET6, unix.IPPROTO_ICMPV6
		peer = &unix.SockaddrInet6{Addr: to.As16()}
	}
	fd, err := p.socket(family, protocol)
	if err != nil {
		return nil, err
	}
	if err := unix.Connect(fd, peer); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("connect", err)
	}
	file := os.NewFile(uintptr(fd), "ping")
	defer file.Close()
	conn, err := net.FileConn(file)
	if err != nil {
		return nil, err
	}
	return conn.(*net.UDPConn), nil
}

func (p *pinger) socket(family, protocol int) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.denied[family]; err != nil {
		return 0, err
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
	if err == nil {
		return fd, nil
	}
	err = os.NewSyscallError("socket", err)
	if errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EPERM) {
		p.denied[family] = err
	}
	return 0, err
}

// handleEcho4 takes the echo requests that the stack has received; it answers
// those to the gateway itself.
func (g *Gateway) handleEcho4(id stack.TransportEndpointID, packet *stack.PacketBuffer) bool {
	v := g.view.Load()
	message := header.ICMPv4(packet.TransportHeader().Slice())
	to := netAddr(id.LocalAddress)
	if len(message) < header.ICMPv4MinimumSize || message.Type() != header.ICMPv4Echo || v.isGateway(to) {
		return true
	}
	whole := append(append([]byte(nil), message...), packet.Data().AsRange().ToSlice()...)
	g.ping(netAddr(id.RemoteAddress), to, g.whose(sender(packet)), quote(packet), whole)
	return true
}

// handleEcho6 takes an echo request to outside as judge has found it.
func (g *Gateway) handleEcho6(frame []byte) {
	ip := header.IPv6(frame[header.EthernetMinimumSize:])
	whole := ip[header.IPv6MinimumSize:][:ip.PayloadLength()]
	if len(whole) < echoHeader {
		return
	}
	from, to := netAddr(ip.SourceAddress()), netAddr(ip.DestinationAddress())
	original := append([]byte(nil), ip[:header.IPv6MinimumSize+echoHeader]...)
	g.ping(from, to, g.whose(header.Ethernet(frame).SourceAddress()), original, append([]byte(nil), whole...))
}

// ping sends a guest's echo request on, if that may and can be.
func (g *Gateway) ping(from, to netip.Addr, owner guestKey, original, message []byte) {
	if !g.view.Load().outside(to) {
		g.refuse(original, prohibited)
		return
	}
	identifier := binary.BigEndian.Uint16(message[4:])
	key := flowKey{echo: true, guest: netip.AddrPortFrom(from, identifier), peer: netip.AddrPortFrom(to, 0)}
	g.flows.send(key, owner, original, message)
}

// sendEchoReply gives a guest the answer to its echo request, with the
// identifier that it has chosen.
func (g *Gateway) sendEchoReply(f *flow, message []byte) {
	if len(message) < echoHeader {
		return
	}
	protocol := header.ICMPv4ProtocolNumber
	if f.peer.Addr().Is6() {
		protocol = header.ICMPv6ProtocolNumber
		if message[0] != byte(header.ICMPv6EchoReply) {
			return
		}
	} else if message[0] != byte(header.ICMPv4EchoReply) {
		return
	}
	binary.BigEndian.PutUint16(message[4:], f.guest.Port())
	if protocol == header.ICMPv6ProtocolNumber {
		sumICMPv6(message, f.peer.Addr(), f.guest.Addr())
	} else {
		binary.BigEndian.PutUint16(message[2:], 0)
		binary.BigEndian.PutUint16(message[2:], ^checksum.Checksum(message, 0))
	}
	g.send(protocol, f.peer.Addr(), f.guest.Addr(), message[:echoHeader], message[echoHeader:])
}
