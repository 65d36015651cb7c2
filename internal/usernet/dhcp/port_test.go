package dhcp

import (
	"net"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
)

// leaseAt has a client take an address, and reports whether it got one.
func leaseAt(t *testing.T, s *Server, port string, now time.Time, mac net.HardwareAddr, modifiers ...dhcpv4.Modifier) (net.IP, bool) {
	t.Helper()
	said := func(r *Reply, kind dhcpv4.MessageType) net.IP {
		if r == nil {
			return nil
		}
		m, err := dhcpv4.FromBytes(r.Packet)
		if err != nil {
			t.Fatal(err)
		}
		if m.MessageType() != kind {
			return nil
		}
		return m.YourIPAddr
	}
	offered := said(s.Handle4(packet4(t, dhcpv4.MessageTypeDiscover, mac, modifiers...), port, now), dhcpv4.MessageTypeOffer)
	if offered == nil {
		return nil, false
	}
	request := packet4(t, dhcpv4.MessageTypeRequest, mac, append(modifiers, wants(offered.String()), toServer(gateway4))...)
	given := said(s.Handle4(request, port, now), dhcpv4.MessageTypeAck)
	return given, given != nil
}

// made is one of many MAC addresses that somebody makes up.
func made(i int) net.HardwareAddr { return net.HardwareAddr{2, 9, 0, 0, byte(i >> 8), byte(i)} }

// A guest that makes up MAC addresses leaves some of the range to others, and
// keeps what it has.
func TestOnePortCannotHaveAll(t *testing.T) {
	for name, hog := range map[string]func(s *Server, i int, now time.Time){
		"leases": func(s *Server, i int, now time.Time) { leaseAt(t, s, "hog", now, made(i)) },
		"offers": func(s *Server, i int, now time.Time) {
			s.Handle4(packet4(t, dhcpv4.MessageTypeDiscover, made(i)), "hog", now)
		},
		"client ids": func(s *Server, i int, now time.Time) {
			leaseAt(t, s, "hog", now, made(i/8), dhcpv4.WithOption(dhcpv4.OptClientIdentifier(made(i))))
		},
		"refusals": func(s *Server, i int, now time.Time) {
			if a, ok := leaseAt(t, s, "hog", now, made(i)); ok {
				s.Handle4(packet4(t, dhcpv4.MessageTypeDecline, made(i), wants(a.String()), toServer(gateway4)), "hog", now)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, config4(t, Settings{Ranges: ranges("192.168.122.10", "192.168.122.29")}))
			now := start
			for i := range 200 {
				now = now.Add(20 * time.Millisecond)
				hog(s, i, now)
			}
			for i := range 10 {
				now = now.Add(20 * time.Millisecond)
				if _, ok := leaseAt(t, s, "other", now, made(1000+i)); !ok {
					t.Fatalf("guest %d of another port gets no address", i)
				}
			}
			// Once its leases and offers have run out, it may have as many again.
			now = now.Add(3 * time.Hour)
			if _, ok := leaseAt(t, s, "hog", now, made(7777)); !ok {
				t.Error("the port gets nothing for ever")
			}
		})
	}
}

func TestShare(t *testing.T) {
	for last, want := range map[string]int{
		"192.168.122.10": 1, "192.168.122.11": 1, "192.168.122.13": 2, "192.168.122.30": 10, "192.168.122.250": 64,
	} {
		p, err := newPlan(config4(t, Settings{Ranges: ranges("192.168.122.10", last)}))
		if err != nil {
			t.Fatal(err)
		}
		if p.perPort4 != want {
			t.Errorf("of a range to %s, a port can have %d, want %d", last, p.perPort4, want)
		}
	}
}

// A boot loader and the system after it have different client ids: with one
// address for both, the second gets it.
func TestSecondClientOfAGuest(t *testing.T) {
	s := open(t, config4(t, Settings{Ranges: ranges("192.168.122.10", "192.168.122.10")}))
	loader := dhcpv4.WithOption(dhcpv4.OptClientIdentifier([]byte{1}))
	system := dhcpv4.WithOption(dhcpv4.OptClientIdentifier([]byte{2}))
	s.Handle4(packet4(t, dhcpv4.MessageTypeDiscover, macA, loader), "one", start)
	for _, client := range []dhcpv4.Modifier{system, loader, system} {
		if a, ok := leaseAt(t, s, "one", start, macA, client); !ok || a.String() != "192.168.122.10" {
			t.Fatalf("the guest's other client gets %v", a)
		}
	}
	if _, ok := leaseAt(t, s, "two", start, macB); ok {
		t.Error("another guest gets the address, too")
	}
}

// A lease can be ended by its own port only.
func TestReleaseBySomebodyElse(t *testing.T) {
	s := open(t, config4(t, Settings{Ranges: ranges("192.168.122.10", "192.168.122.20")}))
	a, ok := leaseAt(t, s, "one", start, macA)
	if !ok {
		t.Fatal("no address")
	}
	release := packet4(t, dhcpv4.MessageTypeRelease, macA, dhcpv4.WithClientIP(a))
	decline := packet4(t, dhcpv4.MessageTypeDecline, macA, wants(a.String()), toServer(gateway4))
	s.Handle4(release, "two", start)
	s.Handle4(decline, "two", start)
	if got := s.Leases(start); len(got) != 1 || got[0].Port != "one" {
		t.Errorf("after somebody else's release the leases are %+v", got)
	}
	s.Handle4(release, "one", start)
	if got := s.Leases(start); len(got) != 0 {
		t.Errorf("after the release the leases are %+v", got)
	}
}

// The bound holds for DHCPv6, and after a restart.
func TestPortIsKept(t *testing.T) {
	cfg := config6(t, &Settings{Ranges: ranges("fd00:1::10", "fd00:1::1f")})
	cfg.LeaseFile = t.TempDir() + "/leases"
	taken := func(s *Server) int {
		n := 0
		for i := range 40 {
			m := packet6(t, dhcpv6.MessageTypeRequest, dhcpv6.WithClientID(duidOf(made(i))), dhcpv6.WithIAID([4]byte{0, 0, 0, 1}))
			m.AddOption(dhcpv6.OptServerID((&exchange6{s: s}).duid()))
			s.Handle6(m.ToBytes(), link, "hog", start.Add(time.Duration(i)*20*time.Millisecond))
			n = len(s.Leases(start))
		}
		return n
	}
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if n := taken(s); n != 8 {
		t.Errorf("a port has %d of 16 addresses, want 8", n)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if n := taken(open(t, cfg)); n != 8 {
		t.Errorf("after a restart a port has %d of 16 addresses, want 8", n)
	}
}
