package dhcp

import (
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

var broadcast4 = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// minReply is what every client takes, in bytes of UDP payload: an IP packet
// of 576 bytes without its headers (RFC 2131, 2).
const minReply = 576 - 28

// reply makes an OFFER or ACK from the pool's gateway. yours is invalid in
// the answer to an INFORM.
func (x *exchange4) reply(kind dhcpv4.MessageType, pool *pool, yours netip.Addr) *Reply {
	out := x.answer(kind, pool.gateway)
	if yours.IsValid() {
		out.YourIPAddr = yours.AsSlice()
		x.addTimes(out, x.time(yours))
	}
	if kind == dhcpv4.MessageTypeAck && x.m.ClientIPAddr != nil {
		out.ClientIPAddr = x.m.ClientIPAddr
	}
	x.addSettings(out, pool)
	return x.send(out, pool.gateway, x.destination(yours))
}

// answer makes a packet that answers the client's.
func (x *exchange4) answer(kind dhcpv4.MessageType, server netip.Addr) *dhcpv4.DHCPv4 {
	return &dhcpv4.DHCPv4{
		OpCode: dhcpv4.OpcodeBootReply, HWType: x.m.HWType, TransactionID: x.m.TransactionID,
		Flags: x.m.Flags, ClientHWAddr: x.m.ClientHWAddr,
		Options: dhcpv4.OptionsFromList(
			dhcpv4.OptMessageType(kind), dhcpv4.OptServerIdentifier(server.AsSlice())),
	}
}

func (x *exchange4) addTimes(out *dhcpv4.DHCPv4, d time.Duration) {
	out.UpdateOption(dhcpv4.OptIPAddressLeaseTime(d))
	if d < maxTime {
		out.UpdateOption(dhcpv4.OptRenewTimeValue(d / 2))
		out.UpdateOption(dhcpv4.OptRebindingTimeValue(d / 8 * 7))
	}
}

func (x *exchange4) addSettings(out *dhcpv4.DHCPv4, pool *pool) {
	plan := x.s.plan
	out.UpdateOption(dhcpv4.OptSubnetMask(net.CIDRMask(pool.prefix.Bits(), 32)))
	out.UpdateOption(dhcpv4.OptBroadcastAddress(lastOf(pool.prefix).AsSlice()))
	if !pool.NoRouter {
		out.UpdateOption(dhcpv4.OptRouter(pool.gateway.AsSlice()))
	}
	if plan.DNS {
		out.UpdateOption(dhcpv4.OptDNS(pool.gateway.AsSlice()))
	}
	if plan.MTU > 0 && plan.MTU <= 65535 {
		out.UpdateOption(dhcpv4.OptGeneric(dhcpv4.OptionInterfaceMTU, dhcpv4.Uint16(plan.MTU).ToBytes()))
	}
	if h := pool.host(x.c); h != nil && h.Name != "" {
		out.UpdateOption(dhcpv4.OptHostName(h.Name))
	}
	x.addBoot(out, pool)
	// The domain is the only long one, and the one that is missed least.
	if plan.Domain != "" {
		out.UpdateOption(dhcpv4.OptDomainName(plan.Domain))
		if len(out.ToBytes()) > x.limit() {
			out.DeleteOption(dhcpv4.OptionDomainName)
		}
	}
}

// addBoot tells where the guest may boot from: in the header, and as options
// for those who ask for them.
func (x *exchange4) addBoot(out *dhcpv4.DHCPv4, pool *pool) {
	if pool.BootFile == "" {
		return
	}
	out.BootFileName = pool.BootFile
	out.ServerIPAddr = pool.gateway.AsSlice()
	if a, err := netip.ParseAddr(pool.BootServer); err == nil && a.Is4() {
		out.ServerIPAddr = a.AsSlice()
	} else if pool.BootServer != "" {
		out.ServerHostName = pool.BootServer
	}
	if x.m.IsOptionRequested(dhcpv4.OptionBootfileName) {
		out.UpdateOption(dhcpv4.OptBootFileName(pool.BootFile))
	}
	if pool.BootServer != "" && x.m.IsOptionRequested(dhcpv4.OptionTFTPServerName) {
		out.UpdateOption(dhcpv4.OptTFTPServerName(pool.BootServer))
	}
}

// limit is how long a reply may be.
func (x *exchange4) limit() int {
	const headers = 28
	size, err := x.m.MaxMessageSize()
	if err != nil {
		return minReply
	}
	return max(minReply, min(int(size), 1500)-headers)
}

// nak tells the client to start again. Everybody hears it: the client may
// believe in an address that does not work here.
func (x *exchange4) nak() *Reply {
	server := x.server()
	if !server.IsValid() {
		return nil
	}
	out := x.answer(dhcpv4.MessageTypeNak, server)
	out.UpdateOption(dhcpv4.OptMessage("this address is not for you"))
	out.SetBroadcast()
	return x.send(out, server, netip.AddrPortFrom(broadcast4, dhcpv4.ClientPort))
}

// server is as whom the server speaks where no subnet is known: as whom the
// client knows it, or as the gateway of the first pool.
func (x *exchange4) server() netip.Addr {
	if a := address4(x.m.ServerIdentifier()); a.IsValid() {
		return a
	}
	for _, pool := range x.s.plan.of(false) {
		return pool.gateway
	}
	return netip.Addr{}
}

// destination is where an answer goes (RFC 2131, 4.1); relays there are none.
func (x *exchange4) destination(yours netip.Addr) netip.AddrPort {
	to := broadcast4
	if a := address4(x.m.ClientIPAddr); a.IsValid() {
		to = a
	} else if !x.m.IsBroadcast() && yours.IsValid() {
		to = yours
	}
	return netip.AddrPortFrom(to, dhcpv4.ClientPort)
}

func (x *exchange4) send(out *dhcpv4.DHCPv4, from netip.Addr, to netip.AddrPort) *Reply {
	r := &Reply{Packet: out.ToBytes(), From: from, To: to}
	if to.Addr() != broadcast4 {
		r.MAC = x.m.ClientHWAddr
	}
	return r
}

// lastOf is the last address of an IPv4 subnet.
func lastOf(p netip.Prefix) netip.Addr {
	a := p.Masked().Addr().As4()
	for bit := p.Bits(); bit < 32; bit++ {
		a[bit/8] |= 0x80 >> (bit % 8)
	}
	return netip.AddrFrom4(a)
}
