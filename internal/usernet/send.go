package usernet

import (
	"encoding/binary"
	"net/netip"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// send sends a transport packet to a guest as from the address from, whoever's
// that is. The stack finds the guest's MAC and cuts what is too long. What
// cannot be sent is dropped, as networks do.
func (g *Gateway) send(protocol tcpip.TransportProtocolNumber, from, to netip.Addr, headers, payload []byte) {
	route, err := g.stack.FindRoute(nic, address(from), address(to), network(to), false)
	if err != nil {
		return
	}
	defer route.Release()
	packet := stack.NewPacketBuffer(stack.PacketBufferOptions{
		ReserveHeaderBytes: int(route.MaxHeaderLength()) + len(headers),
		Payload:            buffer.MakeWithData(payload),
	})
	defer packet.DecRef()
	packet.TransportProtocolNumber = protocol
	copy(packet.TransportHeader().Push(len(headers)), headers)
	route.WritePacket(stack.NetworkHeaderParams{Protocol: protocol, TTL: route.DefaultTTL()}, packet)
}

// sendUDP sends a datagram to a guest.
func (g *Gateway) sendUDP(from, to netip.AddrPort, payload []byte) {
	g.send(header.UDPProtocolNumber, from.Addr(), to.Addr(), udpHeader(from, to, payload), payload)
}

// udpHeader is the header of a datagram with its checksum.
func udpHeader(from, to netip.AddrPort, payload []byte) []byte {
	udp := header.UDP(make([]byte, header.UDPMinimumSize))
	length := uint16(len(udp) + len(payload))
	udp.Encode(&header.UDPFields{SrcPort: from.Port(), DstPort: to.Port(), Length: length})
	sum := header.PseudoHeaderChecksum(header.UDPProtocolNumber, address(from.Addr()), address(to.Addr()), length)
	sum = ^udp.CalculateChecksum(checksum.Checksum(payload, sum))
	if sum == 0 {
		sum = 0xffff // RFC 768: 0 would mean that there is none
	}
	udp.SetChecksum(sum)
	return udp
}

// sendUDP4To sends a datagram to a device whose address need not be known.
func (g *Gateway) sendUDP4To(mac tcpip.LinkAddress, from, to netip.AddrPort, payload []byte) {
	ip := header.IPv4(make([]byte, header.IPv4MinimumSize))
	udp := udpHeader(from, to, payload)
	ip.Encode(&header.IPv4Fields{
		TotalLength: uint16(len(ip) + len(udp) + len(payload)),
		TTL:         64,
		Protocol:    uint8(header.UDPProtocolNumber),
		SrcAddr:     address(from.Addr()),
		DstAddr:     address(to.Addr()),
	})
	ip.SetChecksum(^ip.CalculateChecksum())
	packet := buffer.MakeWithData(append(append([]byte(ip), udp...), payload...))
	g.stack.WritePacketToRemote(nic, mac, header.IPv4ProtocolNumber, packet)
}

// refusal is why a packet of a guest goes no further.
type refusal int

const (
	noRoute refusal = iota
	noHost
	noPort
	prohibited
)

// The ICMP codes of each refusal (RFC 792, RFC 1812, RFC 4443).
var (
	refusals4 = [...]header.ICMPv4Code{noRoute: header.ICMPv4NetUnreachable, noHost: header.ICMPv4HostUnreachable,
		noPort: header.ICMPv4PortUnreachable, prohibited: header.ICMPv4AdminProhibited}
	refusals6 = [...]header.ICMPv6Code{noRoute: header.ICMPv6NetworkUnreachable, noHost: header.ICMPv6AddressUnreachable,
		noPort: header.ICMPv6PortUnreachable, prohibited: header.ICMPv6Prohibited}
)

// refuse tells a guest by ICMP that its packet, of which original is the
// beginning from the IP header on, goes no further.
func (g *Gateway) refuse(original []byte, why refusal) {
	if len(original) == 0 || !g.stack.AllowICMPMessage() {
		return
	}
	var to, destination netip.Addr
	if header.IPVersion(original) == header.IPv4Version {
		ip := header.IPv4(original)
		to, destination = netAddr(ip.SourceAddress()), netAddr(ip.DestinationAddress())
	} else {
		ip := header.IPv6(original)
		to, destination = netAddr(ip.SourceAddress()), netAddr(ip.DestinationAddress())
	}
	s := g.view.Load().subnetOf(to)
	if s == nil {
		return
	}
	from := s.gateway
	if why == noPort {
		from = destination
	}
	message := make([]byte, 8, 8+len(original))
	message = append(message, original...)
	if to.Is4() {
		message[0], message[1] = byte(header.ICMPv4DstUnreachable), byte(refusals4[why])
		binary.BigEndian.PutUint16(message[2:], ^checksum.Checksum(message, 0))
		g.send(header.ICMPv4ProtocolNumber, from, to, message, nil)
		return
	}
	message[0], message[1] = byte(header.ICMPv6DstUnreachable), byte(refusals6[why])
	sumICMPv6(message, from, to)
	g.send(header.ICMPv6ProtocolNumber, from, to, message, nil)
}

// sumICMPv6 fills in the checksum of a message.
func sumICMPv6(message []byte, from, to netip.Addr) {
	binary.BigEndian.PutUint16(message[2:], 0)
	sum := header.PseudoHeaderChecksum(header.ICMPv6ProtocolNumber, address(from), address(to), uint16(len(message)))
	binary.BigEndian.PutUint16(message[2:], ^checksum.Checksum(message, sum))
}

// quote is the beginning of a packet as an ICMP error has to quote it.
func quote(packet *stack.PacketBuffer) []byte {
	out := append([]byte(nil), packet.NetworkHeader().Slice()...)
	return append(out, packet.TransportHeader().Slice()...)
}

// sender is the MAC address that a packet has come from.
func sender(packet *stack.PacketBuffer) tcpip.LinkAddress {
	return header.Ethernet(packet.LinkHeader().Slice()).SourceAddress()
}
