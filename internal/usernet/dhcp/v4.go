package dhcp

import (
	"math"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"
)

// maxTime is what a lease's time on the wire can be, and means for ever there.
const maxTime = math.MaxUint32 * time.Second

// minTime is the shortest lease that a client can ask for.
const minTime = 2 * time.Minute

// Handle4 answers a DHCPv4 packet (the payload of UDP to port 67), or returns
// nil where silence is the answer. port is where it came in, "" where that is
// not known; no port can have all addresses.
func (s *Server) Handle4(packet []byte, port string, now time.Time) *Reply {
	if len(packet) > maxPacket || !s.packets.AllowN(now, 1) {
		return nil
	}
	m, err := dhcpv4.FromBytes(packet)
	if err != nil || m.OpCode != dhcpv4.OpcodeBootRequest || m.HWType != iana.HWTypeEthernet || len(m.ClientHWAddr) != 6 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.save(now)
	x := &exchange4{s: s, m: m, c: client4(m, port), now: now}
	switch m.MessageType() {
	case dhcpv4.MessageTypeDiscover:
		return x.discover()
	case dhcpv4.MessageTypeRequest:
		return x.request()
	case dhcpv4.MessageTypeDecline:
		x.decline()
	case dhcpv4.MessageTypeRelease:
		x.release()
	case dhcpv4.MessageTypeInform:
		return x.inform()
	}
	return nil
}

// exchange4 is the answering of one packet, with the server's lock held.
type exchange4 struct {
	s   *Server
	m   *dhcpv4.DHCPv4
	c   *client
	now time.Time
}

func client4(m *dhcpv4.DHCPv4, port string) *client {
	name := m.HostName()
	if name == "" {
		name = fqdn4(m.GetOneOption(dhcpv4.OptionFQDN))
	}
	return &client{
		mac: m.ClientHWAddr.String(), id: hexID(m.GetOneOption(dhcpv4.OptionClientIdentifier)), name: cleanName(name), port: port,
	}
}

// fqdn4 is the host's label in a Client FQDN option: flags, two dead bytes,
// and the name as text or in DNS's form (RFC 4702).
func fqdn4(option []byte) string {
	if len(option) < 4 {
		return ""
	}
	const encoded = 1 << 2
	flags, name := option[0], option[3:]
	if flags&encoded == 0 {
		return string(name)
	}
	if n := int(name[0]); n < len(name) {
		return string(name[1 : 1+n])
	}
	return ""
}

// address4 is an address of a packet; invalid where there is none.
func address4(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip.To4())
	if a.IsUnspecified() {
		return netip.Addr{}
	}
	return a
}

// isForOthers reports whether the packet names a server that is not this one.
func (x *exchange4) isForOthers() bool {
	server := address4(x.m.ServerIdentifier())
	return server.IsValid() && !x.s.plan.own[server]
}

func (x *exchange4) discover() *Reply {
	a, ok := x.s.table.choose(x.s.plan, x.c, address4(x.m.RequestedIPAddress()), x.now)
	if !ok {
		x.s.warn(x.now, "no DHCP address is left", "guest", x.c.mac)
		return nil
	}
	x.s.table.hold(x.c, a, x.now)
	return x.reply(dhcpv4.MessageTypeOffer, x.s.plan.poolOf(a), a)
}

// request gives or refuses what the client asks for, in all of its states
// (RFC 2131, 4.3.2). There is no other server on the network, so a client
// that is not known is answered too: its lease was lost.
func (x *exchange4) request() *Reply {
	if x.isForOthers() {
		x.s.table.letGo(x.c)
		return nil
	}
	a := address4(x.m.RequestedIPAddress())
	if !a.IsValid() {
		a = address4(x.m.ClientIPAddr)
	}
	switch {
	case !a.IsValid():
		return nil
	case !x.mayHave(a):
		return x.nak()
	}
	x.s.bind(x.c, a, x.time(a), x.now)
	return x.reply(dhcpv4.MessageTypeAck, x.s.plan.poolOf(a), a)
}

// mayHave reports whether the client may have the address: it would be
// offered the same if that is what it wants. A guest whose settings were
// changed while it ran is thereby brought to its new address.
func (x *exchange4) mayHave(a netip.Addr) bool {
	chosen, ok := x.s.table.choose(x.s.plan, x.c, a, x.now)
	if !ok || chosen == a {
		return ok
	}
	o, held := x.s.table.offers[a]
	return held && o.key == x.c.key() && x.s.plan.allows(x.c, a) && !x.s.table.taken(x.c, a, x.now)
}

// time is how long the client may have the address: what the settings say,
// or less where it asks for less.
func (x *exchange4) time(a netip.Addr) time.Duration {
	most := min(x.s.plan.poolOf(a).leaseTime(x.c, a), maxTime)
	return min(most, max(minTime, x.m.IPAddressLeaseTime(most)))
}

// decline takes back an address that the client has found in use.
func (x *exchange4) decline() {
	a := address4(x.m.RequestedIPAddress())
	r := x.s.table.records[a]
	if x.isForOthers() || !x.c.has(r) {
		return
	}
	x.s.decline(r, x.now)
}

// release ends the client's lease; it gets the same address when it is back
// before somebody else needs it.
func (x *exchange4) release() {
	r := x.s.table.records[address4(x.m.ClientIPAddr)]
	if x.isForOthers() || !x.c.has(r) || r.expired(x.now) {
		return
	}
	r.Expires = x.now.Truncate(time.Second).UTC()
	x.s.dirty = true
}

// inform tells a client the settings that has an address by hand.
func (x *exchange4) inform() *Reply {
	a := address4(x.m.ClientIPAddr)
	if x.isForOthers() || !a.IsValid() {
		return nil
	}
	pool := x.s.plan.poolOf(a)
	if pool == nil {
		return nil
	}
	return x.reply(dhcpv4.MessageTypeAck, pool, netip.Addr{})
}
