package usernet

import (
	"net/netip"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"virtumld/internal/virerr"
)

// nic is the number of the stack's one interface.
const nic tcpip.NICID = 1

// Buffers of one connection's guest side, in bytes: how they begin, and what a
// fast connection may grow them to.
const (
	bufferStart = 1 << 20
	bufferMost  = 8 << 20
)

// timeWait is how long an ended connection's ports are kept from being used
// again: no packet is under way for longer on a link in memory.
const timeWait = time.Second

// newStack makes the stack and joins it to the link.
func (g *Gateway) newStack(v *view) error {
	g.stack = stack.New(stack.Options{
		NetworkProtocols: []stack.NetworkProtocolFactory{
			arp.NewProtocol, ipv4.NewProtocol,
			ipv6.NewProtocolWithOptions(ipv6.Options{AutoGenLinkLocal: true}),
		},
		TransportProtocols: []stack.TransportProtocolFactory{
			tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6,
		},
	})
	if err := tuneTCP(g.stack); err != nil {
		return stackError("set up TCP", err)
	}
	g.stack.SetTransportProtocolHandler(tcp.ProtocolNumber, g.tcp.handle)
	g.stack.SetTransportProtocolHandler(udp.ProtocolNumber, g.flows.handleUDP)
	g.stack.SetTransportProtocolHandler(icmp.ProtocolNumber4, g.handleEcho4)
	if err := g.stack.CreateNIC(nic, stackSide{g.link}); err != nil {
		return stackError("make the interface", err)
	}
	// The stack takes packets for any address and sends from any: it
	// stands for all hosts outside. What may come in, link.receive decides.
	if err := g.stack.SetPromiscuousMode(nic, true); err != nil {
		return stackError("set up the interface", err)
	}
	if err := g.stack.SetSpoofing(nic, true); err != nil {
		return stackError("set up the interface", err)
	}
	return g.setAddresses(&view{}, v)
}

func tuneTCP(s *stack.Stack) tcpip.Error {
	sack := tcpip.TCPSACKEnabled(true)
	cubic := tcpip.CongestionControlOption("cubic")
	moderate := tcpip.TCPModerateReceiveBufferOption(true)
	wait := tcpip.TCPTimeWaitTimeoutOption(timeWait)
	// Counts from a Close, which comes when both directions have ended.
	linger := tcpip.TCPLingerTimeoutOption(timeWait)
	// RACK's tail loss probes send a FIN again that was not lost, after which
	// the stack mistakes LAST-ACK for FIN-WAIT-1 (tcp/snd.go).
	rack := tcpip.TCPRecovery(0)
	receive := tcpip.TCPReceiveBufferSizeRangeOption{Min: tcp.MinBufferSize, Default: bufferStart, Max: bufferMost}
	send := tcpip.TCPSendBufferSizeRangeOption{Min: tcp.MinBufferSize, Default: bufferStart, Max: bufferMost}
	for _, o := range []tcpip.SettableTransportProtocolOption{&sack, &cubic, &moderate, &wait, &linger, &rack, &receive, &send} {
		if err := s.SetTransportProtocolOption(tcp.ProtocolNumber, o); err != nil {
			return err
		}
	}
	return nil
}

// setAddresses gives the stack the addresses and routes of v in place of old's.
func (g *Gateway) setAddresses(old, v *view) error {
	for _, s := range old.subnets {
		if v.isGateway(s.gateway) {
			continue
		}
		if err := g.stack.RemoveAddress(nic, address(s.gateway)); err != nil {
			return stackError("remove the address "+s.gateway.String(), err)
		}
	}
	// Only what the network has is ever sent to: there is no default route.
	routes := []tcpip.Route{{Destination: header.IPv6LinkLocalPrefix.Subnet(), NIC: nic}}
	for _, s := range v.subnets {
		routes = append(routes, tcpip.Route{Destination: destination(s.prefix), NIC: nic})
		if old.isGateway(s.gateway) {
			continue
		}
		a := tcpip.ProtocolAddress{Protocol: network(s.gateway), AddressWithPrefix: tcpip.AddressWithPrefix{
			Address: address(s.gateway), PrefixLen: s.prefix.Bits()}}
		if err := g.stack.AddProtocolAddress(nic, a, stack.AddressProperties{}); err != nil {
			return stackError("add the address "+s.gateway.String(), err)
		}
	}
	g.stack.SetRouteTable(routes)
	return nil
}

func stackError(what string, err tcpip.Error) error {
	return virerr.In(virerr.Network, libvirt.ErrInternalError, "the gateway's TCP/IP stack cannot %s: %v", what, err)
}

// address is a in the stack's type.
func address(a netip.Addr) tcpip.Address { return tcpip.AddrFromSlice(a.AsSlice()) }

// netAddr is the stack's address in the standard library's type.
func netAddr(a tcpip.Address) netip.Addr {
	if a.Len() == header.IPv4AddressSize {
		return netip.AddrFrom4(a.As4())
	}
	if a.Len() == header.IPv6AddressSize {
		return netip.AddrFrom16(a.As16())
	}
	return netip.Addr{}
}

func network(a netip.Addr) tcpip.NetworkProtocolNumber {
	if a.Is4() {
		return ipv4.ProtocolNumber
	}
	return ipv6.ProtocolNumber
}

func destination(p netip.Prefix) tcpip.Subnet {
	return tcpip.AddressWithPrefix{Address: address(p.Addr()), PrefixLen: p.Bits()}.Subnet()
}
