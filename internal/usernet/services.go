package usernet

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"virtumld/internal/usernet/dhcp"
	"virtumld/internal/usernet/dns"
)

// The ports of DHCP servers, and DHCP's backlog.
const (
	dhcpPort4   = 67
	dhcpPort6   = 547
	dhcpBacklog = 64
)

// services are what answers at the gateway's own addresses: DHCP and DNS.
type services struct {
	gateway *Gateway

	mu       sync.Mutex
	dhcp     *dhcp.Server
	dns      *dns.Server
	requests chan request
	// listening ends the name service at an address.
	listening map[netip.Addr]context.CancelFunc
}

// request is a packet to the DHCP server.
type request struct {
	from   netip.AddrPort
	port   string
	packet []byte
}

// configure brings the services in line with the view.
func (s *services) configure(v *view) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.configureDHCP(v); err != nil {
		return err
	}
	return s.configureDNS(v)
}

func (s *services) configureDHCP(v *view) error {
	cfg := s.dhcpConfig(v)
	if s.dhcp != nil {
		return s.dhcp.Configure(cfg)
	}
	if !v.hasDHCP() {
		return nil
	}
	server, err := dhcp.Open(cfg)
	if err != nil {
		return err
	}
	s.dhcp = server
	s.requests = make(chan request, dhcpBacklog)
	s.gateway.spawn(func() { s.serveDHCP(server, s.requests) })
	return nil
}

func (v *view) hasDHCP() bool {
	for _, s := range v.cfg.Subnets {
		if s.DHCP != nil {
			return true
		}
	}
	return false
}

// takeDHCP takes a datagram to the DHCP server and reports whether it was one.
// It does not wait: the server writes files.
func (s *services) takeDHCP(from, to netip.AddrPort, packet *stack.PacketBuffer) bool {
	v := s.gateway.view.Load()
	own := v.isGateway(to.Addr()) || to.Addr() == s.gateway.linkLocal()
	all := to.Addr() == dhcpServers6 || packet.PktType == tcpip.PacketBroadcast
	if !own && !all || to.Addr().Is4() != (to.Port() == dhcpPort4) {
		return false
	}
	s.mu.Lock()
	requests := s.requests
	s.mu.Unlock()
	port := s.gateway.portOf(sender(packet))
	if port == strangers { // else a guest with many addresses had two shares
		return requests != nil || all
	}
	select {
	case requests <- request{from: from, port: port, packet: packet.Data().AsRange().ToSlice()}:
	default: // none, or it is behind: clients ask again
	}
	return requests != nil || all
}

func (s *services) serveDHCP(server *dhcp.Server, requests <-chan request) {
	for {
		select {
		case r := <-requests:
			s.replyDHCP(server, r)
		case <-s.gateway.ctx.Done():
			if err := server.Close(); err != nil {
				s.gateway.log("cannot keep the last DHCP leases: %v", err)
			}
			return
		}
	}
}

func (s *services) replyDHCP(server *dhcp.Server, r request) {
	g := s.gateway
	if r.from.Addr().Is6() {
		if reply := server.Handle6(r.packet, r.from.Addr(), r.port, time.Now()); reply != nil {
			g.sendUDP(netip.AddrPortFrom(g.linkLocal(), dhcpPort6), reply.To, reply.Packet)
		}
		return
	}
	reply := server.Handle4(r.packet, r.port, time.Now())
	if reply == nil {
		return
	}
	from := netip.AddrPortFrom(reply.From, dhcpPort4)
	switch {
	case reply.To.Addr() == netAddr(header.IPv4Broadcast):
		g.sendUDP4To(header.EthernetBroadcastAddress, from, reply.To, reply.Packet)
	case reply.MAC != nil:
		g.sendUDP4To(tcpip.LinkAddress(reply.MAC), from, reply.To, reply.Packet)
	default:
		g.sendUDP(from, reply.To, reply.Packet)
	}
}

// leases are the leases that are good at now.
func (s *services) leases(now time.Time) []Lease {
	s.mu.Lock()
	server := s.dhcp
	s.mu.Unlock()
	if server == nil {
		return nil
	}
	var out []Lease
	for _, l := range server.Leases(now) {
		out = append(out, leaseOf(l))
	}
	return out
}

func (s *services) configureDNS(v *view) error {
	wanted := map[netip.Addr]bool{}
	if v.cfg.DNS != nil {
		cfg := s.dnsConfig(v)
		if s.dns == nil {
			s.dns = dns.New(cfg)
		} else {
			s.dns.Configure(cfg)
		}
		for _, n := range v.subnets {
			wanted[n.gateway] = true
		}
	}
	for a, stop := range s.listening {
		if !wanted[a] {
			stop()
			delete(s.listening, a)
		}
	}
	for a := range wanted {
		if s.listening[a] == nil {
			if err := s.listenDNS(a); err != nil {
				return err
			}
		}
	}
	return nil
}

// listenDNS has the name service answer at one of the gateway's addresses.
func (s *services) listenDNS(a netip.Addr) error {
	at := tcpip.FullAddress{NIC: nic, Addr: address(a), Port: dnsPort}
	datagrams, err := gonet.DialUDP(s.gateway.stack, &at, nil, network(a))
	if err != nil {
		return unsupported("the name service cannot answer at %v: %v", a, err)
	}
	listener, err := gonet.ListenTCP(s.gateway.stack, at, network(a))
	if err != nil {
		datagrams.Close()
		return unsupported("the name service cannot answer at %v: %v", a, err)
	}
	ctx, cancel := context.WithCancel(s.gateway.ctx)
	if s.listening == nil {
		s.listening = map[netip.Addr]context.CancelFunc{}
	}
	s.listening[a] = cancel
	server := s.dns
	running := s.gateway.spawn(func() { s.report(ctx, a, server.ServeUDP(ctx, datagrams)) }) &&
		s.gateway.spawn(func() { s.report(ctx, a, server.ServeTCP(ctx, listener)) })
	if !running {
		datagrams.Close()
		listener.Close()
	}
	return nil
}

func (s *services) report(ctx context.Context, a netip.Addr, err error) {
	if err != nil && ctx.Err() == nil {
		s.gateway.log("the name service at %v has ended: %v", a, err)
	}
}
