package usernet

import (
	"encoding/binary"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// Claims reports whether a frame that a guest has sent says that the guest is
// the gateway: with its MAC address, with one of its IP addresses as the
// sender's, or by ARP or neighbour discovery. Whoever carries frames between
// guests must drop it, else a guest could take the others' traffic.
func (g *Gateway) Claims(frame []byte) bool {
	if len(frame) < header.EthernetMinimumSize {
		return false
	}
	if header.Ethernet(frame).SourceAddress() == tcpip.LinkAddress(g.mac) {
		return true
	}
	kind, body := untag(frame)
	v := g.view.Load()
	switch kind {
	case header.ARPProtocolNumber:
		return v.claimsByARP(body, tcpip.LinkAddress(g.mac))
	case header.IPv4ProtocolNumber:
		return len(body) >= header.IPv4MinimumSize && v.isGateway(netAddr(header.IPv4(body).SourceAddress()))
	case header.IPv6ProtocolNumber:
		return g.claimsByIPv6(body, v)
	}
	return false
}

// The types of tags that a frame can have (IEEE 802.1Q and 802.1ad).
const (
	customerTag = 0x8100
	serviceTag  = 0x88a8
	tagSize     = 4
)

// untag is the type of a frame and what follows. Tags that name a priority
// only are passed over, as a Linux guest that receives them does.
func untag(frame []byte) (tcpip.NetworkProtocolNumber, []byte) {
	rest := frame[header.EthernetMinimumSize-2:]
	for {
		kind := binary.BigEndian.Uint16(rest)
		tag := kind == customerTag || kind == serviceTag
		if !tag || len(rest) < tagSize+2 || binary.BigEndian.Uint16(rest[2:])&0x0fff != 0 {
			return tcpip.NetworkProtocolNumber(kind), rest[2:]
		}
		rest = rest[tagSize:]
	}
}

func (v *view) claimsByARP(body []byte, own tcpip.LinkAddress) bool {
	arp := header.ARP(body)
	if !arp.IsValid() {
		return false
	}
	sender := netAddr(tcpip.AddrFromSlice(arp.ProtocolAddressSender()))
	return v.isGateway(sender) || tcpip.LinkAddress(arp.HardwareAddressSender()) == own
}

// claimsByIPv6 looks at the sender and, behind headers that could hide it, at
// a neighbour advertisement's target.
func (g *Gateway) claimsByIPv6(body []byte, v *view) bool {
	if len(body) < header.IPv6MinimumSize || !v.v6 {
		return false
	}
	ip := header.IPv6(body)
	if g.isOwn6(ip.SourceAddress(), v) {
		return true
	}
	next, rest := ip.NextHeader(), body[header.IPv6MinimumSize:]
	for isOption6(next) {
		if len(rest) < 2 || len(rest) < int(rest[1])*8+8 {
			return false
		}
		next, rest = rest[0], rest[int(rest[1])*8+8:]
	}
	icmp := header.ICMPv6(rest)
	if next != uint8(header.ICMPv6ProtocolNumber) || len(icmp) < header.ICMPv6NeighborAdvertMinimumSize {
		return false
	}
	return icmp.Type() == header.ICMPv6NeighborAdvert && g.isOwn6(header.NDPNeighborAdvert(icmp.MessageBody()).TargetAddress(), v)
}

// isOption6 says that a header of IPv6 is one of those before a message that
// all have the same form: the type of the next one, and the length in units of
// eight bytes, less one (RFC 8200, 4).
func isOption6(kind uint8) bool {
	switch header.IPv6ExtensionHeaderIdentifier(kind) {
	case header.IPv6HopByHopOptionsExtHdrIdentifier, header.IPv6RoutingExtHdrIdentifier, header.IPv6DestinationOptionsExtHdrIdentifier:
		return true
	}
	return false
}

func (g *Gateway) isOwn6(a tcpip.Address, v *view) bool {
	address := netAddr(a)
	return v.isGateway(address) || address == g.linkLocal()
}
