package dhcp

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
	"github.com/insomniacslk/dhcp/rfc1035label"
)

const (
	// maxIAs bounds the addresses that are given in one message.
	maxIAs = 4
	// maxDUID is the longest client id, in bytes (RFC 8415, 11.1).
	maxDUID = 130
)

// Handle6 answers a DHCPv6 packet (the payload of UDP to port 547) that came
// from a guest's link-local address at a port, or returns nil where silence is the
// answer.
func (s *Server) Handle6(packet []byte, from netip.Addr, port string, now time.Time) *Reply {
	if len(packet) > maxPacket || !s.packets.AllowN(now, 1) {
		return nil
	}
	m, err := dhcpv6.MessageFromBytes(packet)
	if err != nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.save(now)
	x := &exchange6{s: s, m: m, from: from, port: port, now: now}
	if !x.isForUs() {
		return nil
	}
	x.out = x.answer()
	if !x.dispatch() {
		return nil
	}
	x.addSettings()
	return &Reply{Packet: x.out.ToBytes(), To: netip.AddrPortFrom(from, dhcpv6.DefaultClientPort)}
}

// exchange6 is the answering of one message, with the server's lock held.
type exchange6 struct {
	s    *Server
	m    *dhcpv6.Message
	from netip.Addr
	port string
	now  time.Time
	out  *dhcpv6.Message
}

// isForUs checks which ids must be there (RFC 8415, 16), and that there is
// something to give.
func (x *exchange6) isForUs() bool {
	if !x.gateway().IsValid() {
		return false
	}
	if x.m.MessageType != dhcpv6.MessageTypeInformationRequest && len(x.s.plan.of(true)) == 0 {
		return false
	}
	server, client := x.m.Options.ServerID(), x.m.Options.ClientID()
	if client != nil && len(client.ToBytes()) > maxDUID {
		return false
	}
	named := server != nil && server.Equal(x.duid())
	switch x.m.MessageType {
	case dhcpv6.MessageTypeSolicit, dhcpv6.MessageTypeConfirm, dhcpv6.MessageTypeRebind:
		return client != nil && server == nil
	case dhcpv6.MessageTypeRequest, dhcpv6.MessageTypeRenew, dhcpv6.MessageTypeRelease, dhcpv6.MessageTypeDecline:
		return client != nil && named
	case dhcpv6.MessageTypeInformationRequest:
		return server == nil || named
	default:
		return false
	}
}

// duid is the server's identity, made of the gateway's MAC.
func (x *exchange6) duid() dhcpv6.DUID {
	return &dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: x.s.plan.MAC}
}

func (x *exchange6) answer() *dhcpv6.Message {
	out := &dhcpv6.Message{MessageType: dhcpv6.MessageTypeReply, TransactionID: x.m.TransactionID}
	if id := x.m.Options.ClientID(); id != nil {
		out.AddOption(dhcpv6.OptClientID(id))
	}
	out.AddOption(dhcpv6.OptServerID(x.duid()))
	return out
}

// dispatch fills the answer; false is silence.
func (x *exchange6) dispatch() bool {
	switch x.m.MessageType {
	case dhcpv6.MessageTypeSolicit:
		return x.solicit()
	case dhcpv6.MessageTypeRequest:
		x.eachIA(x.request)
	case dhcpv6.MessageTypeRenew, dhcpv6.MessageTypeRebind:
		x.eachIA(x.renew)
	case dhcpv6.MessageTypeConfirm:
		return x.confirm()
	case dhcpv6.MessageTypeRelease:
		x.eachIA(x.release)
		x.status(iana.StatusSuccess, "released")
	case dhcpv6.MessageTypeDecline:
		x.eachIA(x.decline)
		x.status(iana.StatusSuccess, "noted")
	}
	return true
}

// client is the owner of one association.
func (x *exchange6) client(iaid [4]byte) *client {
	return &client{
		v6: true, mac: x.mac(), id: hexID(x.m.Options.ClientID().ToBytes()), name: x.name(), port: x.port,
		iaid: strconv.FormatUint(uint64(binary.BigEndian.Uint32(iaid[:])), 10),
	}
}

// mac is the guest's, from its link-local address or else its DUID; "" where
// neither tells.
func (x *exchange6) mac() string {
	from := x.from.As16()
	if mac, err := dhcpv6.GetMacAddressFromEUI64(from[:]); err == nil {
		return mac.String()
	}
	if mac, err := dhcpv6.ExtractMAC(x.m); err == nil && len(mac) == 6 {
		return mac.String()
	}
	return ""
}

func (x *exchange6) name() string {
	fqdn := x.m.Options.FQDN()
	if fqdn == nil || fqdn.DomainName == nil || len(fqdn.DomainName.Labels) == 0 {
		return ""
	}
	return cleanName(fqdn.DomainName.Labels[0])
}

// eachIA answers each association with the options that do returns.
func (x *exchange6) eachIA(do func(*client, *dhcpv6.OptIANA) []dhcpv6.Option) {
	for i, ia := range x.m.Options.IANA() {
		if i == maxIAs {
			break
		}
		options := do(x.client(ia.IaId), ia)
		if options == nil {
			continue
		}
		out := &dhcpv6.OptIANA{IaId: ia.IaId, Options: dhcpv6.IdentityOptions{Options: options}}
		if a := out.Options.OneAddress(); a != nil {
			out.T1, out.T2 = a.PreferredLifetime/2, a.PreferredLifetime/5*4
		}
		x.out.AddOption(out)
	}
	x.refuseOthers()
}

// refuseOthers says that there are no prefixes and temporary addresses here.
func (x *exchange6) refuseOthers() {
	for i, ia := range x.m.Options.IAPD() {
		if i < maxIAs {
			x.out.AddOption(&dhcpv6.OptIAPD{IaId: ia.IaId, Options: dhcpv6.PDOptions{Options: status(iana.StatusNoPrefixAvail, "no prefixes are given here")}})
		}
	}
	for i, ia := range x.m.Options.IATA() {
		if i < maxIAs {
			x.out.AddOption(&dhcpv6.OptIATA{IaId: ia.IaId, Options: dhcpv6.IdentityOptions{Options: status(iana.StatusNoAddrsAvail, "no temporary addresses are given here")}})
		}
	}
}

func (x *exchange6) solicit() bool {
	if x.m.GetOneOption(dhcpv6.OptionRapidCommit) != nil {
		x.out.AddOption(&dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionRapidCommit})
		x.eachIA(x.request)
		return true
	}
	x.out.MessageType = dhcpv6.MessageTypeAdvertise
	x.eachIA(x.advertise)
	return true
}

func (x *exchange6) choose(c *client, ia *dhcpv6.OptIANA) (netip.Addr, bool) {
	var wanted netip.Addr
	if a := ia.Options.OneAddress(); a != nil {
		wanted = address6(a)
	}
	a, ok := x.s.table.choose(x.s.plan, c, wanted, x.now)
	if !ok {
		x.s.warn(x.now, "no DHCPv6 address is left", "guest", c.mac)
	}
	return a, ok
}

func (x *exchange6) advertise(c *client, ia *dhcpv6.OptIANA) []dhcpv6.Option {
	a, ok := x.choose(c, ia)
	if !ok {
		return status(iana.StatusNoAddrsAvail, "no address is left")
	}
	x.s.table.hold(c, a, x.now)
	return []dhcpv6.Option{x.lifetimes(c, a)}
}

func (x *exchange6) request(c *client, ia *dhcpv6.OptIANA) []dhcpv6.Option {
	a, ok := x.choose(c, ia)
	if !ok {
		return status(iana.StatusNoAddrsAvail, "no address is left")
	}
	x.s.bind(c, a, x.time(c, a), x.now)
	return []dhcpv6.Option{x.lifetimes(c, a)}
}

// renew gives what request does, and ends the lifetimes of the client's other
// addresses: a lease that was lost is made again, there is no other server.
func (x *exchange6) renew(c *client, ia *dhcpv6.OptIANA) []dhcpv6.Option {
	given, ok := x.choose(c, ia)
	var out []dhcpv6.Option
	if ok {
		x.s.bind(c, given, x.time(c, given), x.now)
		out = append(out, x.lifetimes(c, given))
	}
	for i, asked := range ia.Options.Addresses() {
		if a := address6(asked); i < maxIAs && a.IsValid() && a != given {
			out = append(out, &dhcpv6.OptIAAddress{IPv6Addr: a.AsSlice()})
		}
	}
	if len(out) == 0 {
		return status(iana.StatusNoBinding, "there is no lease")
	}
	return out
}

// confirm says whether a guest that was away is still where its addresses
// belong. Without addresses there is nothing to say.
func (x *exchange6) confirm() bool {
	asked := false
	for _, ia := range x.m.Options.IANA() {
		for _, a := range ia.Options.Addresses() {
			asked = true
			if addr := address6(a); !addr.IsValid() || x.s.plan.poolOf(addr) == nil {
				x.status(iana.StatusNotOnLink, "an address is not of this network")
				return true
			}
		}
	}
	x.status(iana.StatusSuccess, "all addresses are of this network")
	return asked
}

func (x *exchange6) release(c *client, ia *dhcpv6.OptIANA) []dhcpv6.Option {
	if r := x.owned(c, ia); r != nil {
		r.Expires = x.now.Truncate(time.Second).UTC()
		x.s.dirty = true
		return nil
	}
	return status(iana.StatusNoBinding, "there is no lease")
}

func (x *exchange6) decline(c *client, ia *dhcpv6.OptIANA) []dhcpv6.Option {
	r := x.owned(c, ia)
	if r == nil {
		return status(iana.StatusNoBinding, "there is no lease")
	}
	x.s.decline(r, x.now)
	return nil
}

// owned is the client's record of an address that it names.
func (x *exchange6) owned(c *client, ia *dhcpv6.OptIANA) *record {
	r := x.s.table.clients[c.key()]
	if r == nil || r.expired(x.now) {
		return nil
	}
	for _, a := range ia.Options.Addresses() {
		if address6(a) == r.Address {
			return r
		}
	}
	return nil
}

func (x *exchange6) time(c *client, a netip.Addr) time.Duration {
	return min(x.s.plan.poolOf(a).leaseTime(c, a), maxTime)
}

func (x *exchange6) lifetimes(c *client, a netip.Addr) *dhcpv6.OptIAAddress {
	d := x.time(c, a)
	return &dhcpv6.OptIAAddress{IPv6Addr: a.AsSlice(), PreferredLifetime: d, ValidLifetime: d}
}

// addSettings tells the name server and the domain.
func (x *exchange6) addSettings() {
	gateway := x.gateway()
	if x.s.plan.DNS && gateway.IsValid() {
		x.out.AddOption(dhcpv6.OptDNS(gateway.AsSlice()))
	}
	if domain := x.s.plan.Domain; domain != "" {
		x.out.AddOption(dhcpv6.OptDomainSearchList(&rfc1035label.Labels{Labels: []string{domain}}))
	}
}

// gateway is the gateway's IPv6 address: of a subnet with DHCP if there is
// one. It is invalid for none.
func (x *exchange6) gateway() netip.Addr {
	for _, pool := range x.s.plan.of(true) {
		return pool.gateway
	}
	for _, subnet := range x.s.plan.Subnets {
		if a := subnet.Gateway.Addr(); a.Is6() {
			return a
		}
	}
	return netip.Addr{}
}

func (x *exchange6) status(code iana.StatusCode, text string) {
	x.out.AddOption(&dhcpv6.OptStatusCode{StatusCode: code, StatusMessage: text})
}

func status(code iana.StatusCode, text string) []dhcpv6.Option {
	return []dhcpv6.Option{&dhcpv6.OptStatusCode{StatusCode: code, StatusMessage: text}}
}

// address6 is the address of an option; invalid where it is none.
func address6(o *dhcpv6.OptIAAddress) netip.Addr {
	a, _ := netip.AddrFromSlice(o.IPv6Addr)
	if !a.Is6() || a.Is4In6() || a.IsUnspecified() {
		return netip.Addr{}
	}
	return a
}
