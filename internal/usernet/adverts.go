package usernet

import (
	"encoding/binary"
	"net/netip"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// Router advertisements (RFC 4861, 4862, 8106).
const (
	advertEvery    = 200 * time.Second
	advertSpacing  = 500 * time.Millisecond // no guest makes us send more often
	routerLifetime = 1800                   // seconds
	slaacBits      = 64
)

var (
	allNodes     = netip.MustParseAddr("ff02::1")
	allRouters   = netip.MustParseAddr("ff02::2")
	dhcpServers6 = netip.MustParseAddr("ff02::1:2")
)

// linkLocal is the gateway's own address on the link, made of its MAC.
func (g *Gateway) linkLocal() netip.Addr {
	return netAddr(header.LinkLocalAddr(tcpip.LinkAddress(g.mac)))
}

// adverts sends router advertisements, now and then and when one is asked for.
type adverts struct {
	gateway *Gateway
	wanted  chan struct{}
}

func newAdverts(g *Gateway) *adverts {
	return &adverts{gateway: g, wanted: make(chan struct{}, 1)}
}

// announce has an advertisement sent soon. It does not wait.
func (a *adverts) announce() {
	select {
	case a.wanted <- struct{}{}:
	default:
	}
}

func (a *adverts) start() {
	a.announce()
	a.gateway.spawn(a.run)
}

func (a *adverts) run() {
	regular := time.NewTicker(advertEvery)
	defer regular.Stop()
	done := a.gateway.ctx.Done()
	for {
		select {
		case <-a.wanted:
		case <-regular.C:
		case <-done:
			return
		}
		a.send()
		pause := time.NewTimer(advertSpacing)
		select {
		case <-pause.C:
		case <-done:
			pause.Stop()
			return
		}
	}
}

func (a *adverts) send() {
	g := a.gateway
	v := g.view.Load()
	if !v.v6 {
		return
	}
	message := g.advert(v)
	from := g.linkLocal()
	sumICMPv6(message, from, allNodes)
	ip := header.IPv6(make([]byte, header.IPv6MinimumSize, header.IPv6MinimumSize+len(message)))
	ip.Encode(&header.IPv6Fields{
		PayloadLength:     uint16(len(message)),
		TransportProtocol: header.ICMPv6ProtocolNumber,
		HopLimit:          header.NDPHopLimit,
		SrcAddr:           address(from),
		DstAddr:           address(allNodes),
	})
	mac := header.EthernetAddressFromMulticastIPv6Address(address(allNodes))
	g.stack.WritePacketToRemote(nic, mac, header.IPv6ProtocolNumber, buffer.MakeWithData(append(ip, message...)))
}

// advert is a router advertisement without its checksum.
func (g *Gateway) advert(v *view) []byte {
	const managed, other = 0x80, 0x40
	lifetime, flags := uint16(0), byte(0)
	for _, s := range v.cfg.Subnets {
		if s.Gateway.Addr().Is6() && s.DHCP != nil {
			flags |= managed | other
		}
	}
	if v.routes6() {
		lifetime = routerLifetime
	}
	m := []byte{byte(header.ICMPv6RouterAdvert), 0, 0, 0, 64, flags}
	m = binary.BigEndian.AppendUint16(m, lifetime)
	m = append(m, 0, 0, 0, 0, 0, 0, 0, 0) // reachable time and retransmission: as the guest likes
	m = append(append(m, 1, 1), g.mac...) // source link-layer address
	m = binary.BigEndian.AppendUint32(append(m, 5, 1, 0, 0), uint32(v.mtu))
	for _, s := range v.cfg.Subnets {
		if s.Gateway.Addr().Is6() {
			m = appendPrefix(m, s)
		}
	}
	if v.cfg.DNS != nil {
		m = appendResolvers(m, v)
	}
	return m
}

// routes6 reports whether the gateway is an IPv6 way out.
func (v *view) routes6() bool {
	for _, s := range v.cfg.Subnets {
		if s.Gateway.Addr().Is6() && s.DHCP != nil && s.DHCP.NoRouter {
			return false
		}
	}
	return v.cfg.NAT
}

// appendPrefix adds a prefix information option: guests make their own address
// where the prefix allows that and DHCPv6 does not give them one.
func appendPrefix(m []byte, s Subnet) []byte {
	const onLink, autonomous = 0x80, 0x40
	const forLong, preferred = 86400, 14400 // seconds
	flags := byte(onLink)
	if s.DHCP == nil && s.Gateway.Bits() == slaacBits {
		flags |= autonomous
	}
	m = append(m, 3, 4, byte(s.Gateway.Bits()), flags)
	m = binary.BigEndian.AppendUint32(m, forLong)
	m = binary.BigEndian.AppendUint32(m, preferred)
	prefix := s.Gateway.Masked().Addr().As16()
	return append(append(m, 0, 0, 0, 0), prefix[:]...)
}

// appendResolvers adds the option that names the gateway as name server.
func appendResolvers(m []byte, v *view) []byte {
	var servers []byte
	for _, s := range v.subnets {
		if s.gateway.Is6() {
			servers = append(servers, s.gateway.AsSlice()...)
		}
	}
	m = append(m, 25, byte(1+len(servers)/8), 0, 0)
	m = binary.BigEndian.AppendUint32(m, routerLifetime)
	return append(m, servers...)
}
