package dhcp

import (
	"net/netip"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
)

// FuzzHandle4 checks that no packet makes the server fail or give what is not
// its to give.
func FuzzHandle4(f *testing.F) {
	t := &testing.T{}
	for _, kind := range []dhcpv4.MessageType{
		dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeRequest, dhcpv4.MessageTypeDecline, dhcpv4.MessageTypeRelease, dhcpv4.MessageTypeInform,
	} {
		f.Add(packet4(t, kind, macA, wants("192.168.122.10"), named("web"), withID(1, 2)))
		f.Add(packet4(t, kind, macA, dhcpv4.WithClientIP([]byte{192, 168, 122, 10})))
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		s := open(t, config4(t, Settings{Ranges: ranges("192.168.122.10", "192.168.122.12")}))
		for i := range 3 {
			r := s.Handle4(packet, "", start.Add(time.Duration(i)*time.Minute))
			if r == nil {
				continue
			}
			m, err := dhcpv4.FromBytes(r.Packet)
			if err != nil {
				t.Fatalf("the answer is no packet: %v", err)
			}
			if a := address4(m.YourIPAddr); a.IsValid() && s.plan.poolOf(a).rangeOf(a) == nil {
				t.Fatalf("%s is not of the range", a)
			}
		}
	})
}

// FuzzHandle6 is the same for DHCPv6.
func FuzzHandle6(f *testing.F) {
	t := &testing.T{}
	for _, kind := range []dhcpv6.MessageType{
		dhcpv6.MessageTypeSolicit, dhcpv6.MessageTypeRequest, dhcpv6.MessageTypeRenew, dhcpv6.MessageTypeRebind,
		dhcpv6.MessageTypeConfirm, dhcpv6.MessageTypeRelease, dhcpv6.MessageTypeDecline, dhcpv6.MessageTypeInformationRequest,
	} {
		m := packet6(t, kind, dhcpv6.WithClientID(duidOf(macA)), dhcpv6.WithIAID([4]byte{1}), dhcpv6.WithFQDN(0, "web"))
		f.Add(m.ToBytes())
		m.AddOption(dhcpv6.OptServerID(duidOf([]byte{0x52, 0x54, 0, 0, 0, 1})))
		f.Add(m.ToBytes())
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		s := open(t, config6(t, range6(t)))
		for i := range 3 {
			r := s.Handle6(packet, netip.MustParseAddr("fe80::1"), "", start.Add(time.Duration(i)*time.Minute))
			if r == nil {
				continue
			}
			if _, err := dhcpv6.MessageFromBytes(r.Packet); err != nil {
				t.Fatalf("the answer is no packet: %v", err)
			}
		}
	})
}

// FuzzLeaseFile checks that no file of leases makes a server fail.
func FuzzLeaseFile(f *testing.F) {
	f.Add([]byte(`{"Version":1,"Leases":[{"MAC":"52:54:00:00:00:0a","Address":"192.168.122.10","Prefix":24,"Expires":"2026-03-01T13:00:00Z"}]}`))
	f.Add([]byte(`{"Version":1,"Leases":[{"Address":"fd00::1","IAID":"x"},{"Address":"::ffff:1.2.3.4"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		leases, err := decodeLeases(text)
		if err != nil {
			return
		}
		s := open(t, config4(t, Settings{Ranges: ranges("192.168.122.10", "192.168.122.12")}))
		for _, lease := range leases {
			s.table.put(&record{Lease: lease})
		}
		s.forgetMisfits()
		for _, lease := range s.Leases(time.Time{}) {
			if s.plan.poolOf(lease.Address) == nil {
				t.Fatalf("%s is kept", lease.Address)
			}
		}
	})
}
