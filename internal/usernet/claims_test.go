package usernet

import (
	"net/netip"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// arpFrame is an ARP packet from one MAC that names another as the sender's.
func arpFrame(from, sender string, ip netip.Addr) []byte {
	frame := rawFrame(from, 0, guest4, guest4, nil)[:header.EthernetMinimumSize]
	frame[12], frame[13] = 0x08, 0x06
	arp := header.ARP(make([]byte, header.ARPSize))
	arp.SetIPv4OverEthernet()
	arp.SetOp(header.ARPReply)
	copy(arp.HardwareAddressSender(), rawFrame(sender, 0, guest4, guest4, nil)[6:12])
	copy(arp.ProtocolAddressSender(), ip.AsSlice())
	return append(frame, arp...)
}

// advertisement is an ICMPv6 neighbour advertisement of the target.
func advertisement(target netip.Addr) []byte {
	return append([]byte{136, 0, 0, 0, 0, 0, 0, 0}, target.AsSlice()...)
}

// withTags puts tags between the addresses and the type of a frame.
func withTags(frame []byte, tags ...byte) []byte {
	return append(append(append([]byte(nil), frame[:12]...), tags...), frame[12:]...)
}

func TestClaims(t *testing.T) {
	g := newGateway(t, testConfig())
	local := g.linkLocal()
	option := func(next byte, rest []byte) []byte { return append([]byte{next, 0, 1, 4, 0, 0, 0, 0}, rest...) }
	claim := arpFrame(guestMAC, guestMAC, gateway4)
	for name, test := range map[string]struct {
		frame []byte
		want  bool
	}{
		"own ARP":                 {arpFrame(guestMAC, guestMAC, guest4), false},
		"ARP of the gateway's IP": {claim, true},
		"ARP of its MAC":          {arpFrame(guestMAC, gatewayMAC, guest4), true},
		"its MAC":                 {arpFrame(gatewayMAC, guestMAC, guest4), true},
		"behind a priority":       {withTags(claim, 0x81, 0, 0xe0, 0), true},
		"behind two":              {withTags(claim, 0x88, 0xa8, 0, 0, 0x81, 0, 0, 0), true},
		"in a VLAN of the guest":  {withTags(claim, 0x81, 0, 0, 5), false},
		"an end in a tag":         {withTags(claim, 0x81, 0, 0, 0)[:16], false},
		"own IPv4":                {rawFrame(guestMAC, 17, guest4, gateway4, nil), false},
		"IPv4 of the gateway":     {rawFrame(guestMAC, 17, gateway4, guest4, nil), true},
		"short IPv4":              {rawFrame(guestMAC, 17, gateway4, guest4, nil)[:30], false},
		"own IPv6":                {rawFrame(guestMAC, 17, guest6, gateway6, nil), false},
		"IPv6 of the gateway":     {rawFrame(guestMAC, 17, gateway6, guest6, nil), true},
		"its link-local":          {rawFrame(guestMAC, 58, local, guest6, nil), true},
		"own advertisement":       {rawFrame(guestMAC, 58, guest6, gateway6, advertisement(guest6)), false},
		"of the gateway":          {rawFrame(guestMAC, 58, guest6, guest6, advertisement(gateway6)), true},
		"of its link-local":       {rawFrame(guestMAC, 58, guest6, guest6, advertisement(local)), true},
		"behind options":          {rawFrame(guestMAC, 0, guest6, guest6, option(60, option(58, advertisement(gateway6)))), true},
		"an end in options":       {rawFrame(guestMAC, 0, guest6, guest6, option(60, []byte{58, 9, 0})), false},
		"a search for the gateway": {rawFrame(guestMAC, 58, guest6, gateway6,
			append([]byte{135, 0, 0, 0, 0, 0, 0, 0}, gateway6.AsSlice()...)), false},
		"nothing": {nil, false},
	} {
		if got := g.Claims(test.frame); got != test.want {
			t.Errorf("%s: a claim is %v", name, got)
		}
	}
}

func FuzzClaims(f *testing.F) {
	cfg := testConfig()
	cfg.NAT = false
	g, err := New(cfg, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { g.Close() })
	f.Add(withTags(arpFrame(guestMAC, guestMAC, gateway4), 0x81, 0, 0, 0))
	f.Add(rawFrame(guestMAC, 0, guest6, guest6, []byte{60, 0, 0, 0, 0, 0, 0, 0, 58, 0, 0, 0, 0, 0, 0, 0}))
	f.Fuzz(func(_ *testing.T, frame []byte) { g.Claims(frame) })
}
