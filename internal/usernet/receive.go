package usernet

import (
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// verdict is what is done with a frame that a guest has sent.
type verdict int

const (
	dropped   verdict = iota // it is not for the gateway, or not as it must be
	accepted                 // the stack takes it
	solicited                // it asks for a router advertisement
	echo6                    // an IPv6 echo request to somebody outside
)

// receive takes a frame from the switch. Nothing reaches the stack but what
// judge has let pass, since the stack itself takes packets for any address.
func (g *Gateway) receive(frame []byte, dispatcher stack.NetworkDispatcher) {
	verdict, source := g.judge(frame, g.view.Load())
	if source.IsValid() {
		g.neighbours.note(frame[6:12], source)
	}
	switch verdict {
	case accepted:
		deliver(frame, dispatcher)
	case solicited:
		g.adverts.announce()
	case echo6:
		g.handleEcho6(frame)
	}
}

// judge says what is to be done with a frame, and the address that its sender
// uses, invalid where none can be told. Frames come from guests: every length
// is checked.
func (g *Gateway) judge(frame []byte, v *view) (verdict, netip.Addr) {
	if len(frame) < header.EthernetMinimumSize || len(frame) > v.mtu+header.EthernetMinimumSize {
		return dropped, netip.Addr{}
	}
	eth := header.Ethernet(frame)
	from, to := eth.SourceAddress(), eth.DestinationAddress()
	if from[0]&1 != 0 || from == tcpip.LinkAddress(g.mac) || from == header.UnspecifiedEthernetAddress {
		return dropped, netip.Addr{}
	}
	unicast := to[0]&1 == 0
	if unicast && to != tcpip.LinkAddress(g.mac) {
		return dropped, netip.Addr{}
	}
	body := frame[header.EthernetMinimumSize:]
	switch {
	case eth.Type() == header.ARPProtocolNumber && v.v4:
		return judgeARP(body, from, v)
	case eth.Type() == header.IPv4ProtocolNumber && v.v4:
		return judgeIPv4(body, v)
	case eth.Type() == header.IPv6ProtocolNumber && v.v6:
		return g.judgeIPv6(body, v)
	}
	return dropped, netip.Addr{}
}

// judgeARP lets requests for the gateway's addresses pass, and replies: the
// stack would answer for any address.
func judgeARP(body []byte, from tcpip.LinkAddress, v *view) (verdict, netip.Addr) {
	arp := header.ARP(body)
	if !arp.IsValid() || tcpip.LinkAddress(arp.HardwareAddressSender()) != from {
		return dropped, netip.Addr{}
	}
	sender, _ := netip.AddrFromSlice(arp.ProtocolAddressSender())
	target, _ := netip.AddrFromSlice(arp.ProtocolAddressTarget())
	known := netip.Addr{}
	if v.isGuest(sender) {
		known = sender
	}
	switch {
	case arp.Op() == header.ARPRequest && v.isGateway(target) && (known.IsValid() || sender.IsUnspecified()):
		return accepted, known
	case arp.Op() == header.ARPReply && known.IsValid():
		return accepted, known
	}
	return dropped, known
}

func judgeIPv4(body []byte, v *view) (verdict, netip.Addr) {
	ip := header.IPv4(body)
	if !ip.IsValid(len(body)) {
		return dropped, netip.Addr{}
	}
	from, to := netAddr(ip.SourceAddress()), netAddr(ip.DestinationAddress())
	if s := v.subnetOf(to); to == netAddr(header.IPv4Broadcast) || s != nil && to == s.broadcast {
		return judgeBroadcast(ip, from, v)
	}
	if !v.isGuest(from) || to.IsMulticast() {
		return dropped, netip.Addr{}
	}
	if ip.Protocol() == uint8(header.ICMPv4ProtocolNumber) && !ip.More() && ip.FragmentOffset() == 0 {
		return judgeICMPv4(ip.Payload()), from
	}
	return accepted, from
}

// judgeBroadcast lets DHCP pass, from guests with and without an address.
func judgeBroadcast(ip header.IPv4, from netip.Addr, v *view) (verdict, netip.Addr) {
	known := netip.Addr{}
	if v.isGuest(from) {
		known = from
	} else if !from.IsUnspecified() {
		return dropped, netip.Addr{}
	}
	udp := header.UDP(ip.Payload())
	if ip.Protocol() == uint8(header.UDPProtocolNumber) && !ip.More() && ip.FragmentOffset() == 0 &&
		len(udp) >= header.UDPMinimumSize && udp.DestinationPort() == dhcpPort4 {
		return accepted, known
	}
	return dropped, known
}

func judgeICMPv4(message []byte) verdict {
	icmp := header.ICMPv4(message)
	if len(icmp) < header.ICMPv4MinimumSize {
		return dropped
	}
	switch icmp.Type() {
	case header.ICMPv4Echo, header.ICMPv4DstUnreachable, header.ICMPv4TimeExceeded, header.ICMPv4ParamProblem:
		return accepted
	}
	return dropped
}

// judgeIPv6 lets packets without extension headers pass, and fragments of TCP
// and UDP. Neighbour discovery is for the gateway's own addresses only.
func (g *Gateway) judgeIPv6(body []byte, v *view) (verdict, netip.Addr) {
	ip := header.IPv6(body)
	if !ip.IsValid(len(body)) {
		return dropped, netip.Addr{}
	}
	from, to := netAddr(ip.SourceAddress()), netAddr(ip.DestinationAddress())
	payload := body[header.IPv6MinimumSize:][:ip.PayloadLength()]
	protocol := ip.TransportProtocol()
	if protocol == header.ICMPv6ProtocolNumber {
		return g.judgeICMPv6(payload, ip.HopLimit(), from, to, v)
	}
	local := from.IsLinkLocalUnicast()
	if from == g.linkLocal() || !local && !v.isGuest(from) {
		return dropped, netip.Addr{}
	}
	switch {
	case to == dhcpServers6 || to == g.linkLocal():
		if protocol != header.UDPProtocolNumber || len(payload) < header.UDPMinimumSize || header.UDP(payload).DestinationPort() != dhcpPort6 {
			return dropped, from
		}
		return accepted, from
	case to.IsMulticast() || to.IsLinkLocalUnicast() || local:
		return dropped, from
	case protocol == header.TCPProtocolNumber || protocol == header.UDPProtocolNumber:
		return accepted, from
	case uint8(protocol) == uint8(header.IPv6FragmentExtHdrIdentifier) && len(payload) > 8 &&
		(payload[0] == uint8(header.TCPProtocolNumber) || payload[0] == uint8(header.UDPProtocolNumber)):
		return accepted, from
	}
	return dropped, from
}

func (g *Gateway) judgeICMPv6(message []byte, hops uint8, from, to netip.Addr, v *view) (verdict, netip.Addr) {
	icmp := header.ICMPv6(message)
	if len(icmp) < header.ICMPv6MinimumSize {
		return dropped, netip.Addr{}
	}
	known := netip.Addr{}
	if from.IsLinkLocalUnicast() && from != g.linkLocal() || v.isGuest(from) {
		known = from
	} else if !from.IsUnspecified() {
		return dropped, netip.Addr{}
	}
	own := v.isGateway(to) || to == g.linkLocal()
	switch icmp.Type() {
	case header.ICMPv6RouterSolicit:
		if hops == header.NDPHopLimit && to == allRouters {
			return solicited, known
		}
	case header.ICMPv6NeighborSolicit:
		if len(icmp) >= header.ICMPv6NeighborSolicitMinimumSize && (own || to.IsMulticast()) {
			target := netAddr(header.NDPNeighborSolicit(icmp.MessageBody()).TargetAddress())
			if v.isGateway(target) || target == g.linkLocal() {
				return accepted, known
			}
		}
	case header.ICMPv6NeighborAdvert:
		if known.IsValid() && own {
			return accepted, known
		}
	case header.ICMPv6DstUnreachable, header.ICMPv6PacketTooBig, header.ICMPv6TimeExceeded, header.ICMPv6ParamProblem:
		if known.IsValid() && !to.IsMulticast() {
			return accepted, known
		}
	case header.ICMPv6EchoRequest:
		return g.judgeEcho6(known, to, own)
	}
	return dropped, known
}

// judgeEcho6 parts echo requests to the gateway, which the stack answers, from
// those to outside, which it would answer too.
func (g *Gateway) judgeEcho6(from, to netip.Addr, own bool) (verdict, netip.Addr) {
	switch {
	case !from.IsValid() || to.IsMulticast():
		return dropped, from
	case own:
		return accepted, from
	case from.IsLinkLocalUnicast() || to.IsLinkLocalUnicast():
		return dropped, from
	}
	return echo6, from
}
