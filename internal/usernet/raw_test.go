package usernet

import (
	"net"
	"net/netip"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// sendRaw gives the gateway an IP packet from the guest's MAC.
func (o *guest) sendRaw(t testing.TB, protocol uint8, from, to netip.Addr, payload []byte) {
	t.Helper()
	o.sendRawFrom(t, guestMAC, protocol, from, to, payload)
}

func (o *guest) sendRawFrom(t testing.TB, mac string, protocol uint8, from, to netip.Addr, payload []byte) {
	t.Helper()
	if _, err := o.link.Write(rawFrame(mac, protocol, from, to, payload)); err != nil {
		t.Fatal(err)
	}
}

func rawFrame(mac string, protocol uint8, from, to netip.Addr, payload []byte) []byte {
	source, _ := net.ParseMAC(mac)
	gateway, _ := net.ParseMAC(gatewayMAC)
	frame := append(append([]byte(nil), gateway...), source...)
	if to.Is4() && from.Is4() {
		ip := header.IPv4(make([]byte, header.IPv4MinimumSize))
		ip.Encode(&header.IPv4Fields{TotalLength: uint16(len(ip) + len(payload)), TTL: 64, Protocol: protocol,
			SrcAddr: address(from), DstAddr: address(to)})
		ip.SetChecksum(^ip.CalculateChecksum())
		return append(append(append(frame, 0x08, 0x00), ip...), payload...)
	}
	ip := header.IPv6(make([]byte, header.IPv6MinimumSize))
	source16, target16 := from.As16(), to.As16()
	ip.Encode(&header.IPv6Fields{PayloadLength: uint16(len(payload)), TransportProtocol: 59, HopLimit: 255,
		SrcAddr: address(netip.AddrFrom16(source16)), DstAddr: address(netip.AddrFrom16(target16))})
	ip[6] = protocol
	return append(append(append(frame, 0x86, 0xdd), ip...), payload...)
}

// syn is a TCP segment that opens a connection.
func syn(from, to netip.AddrPort) []byte {
	tcp := header.TCP(make([]byte, header.TCPMinimumSize))
	tcp.Encode(&header.TCPFields{SrcPort: from.Port(), DstPort: to.Port(), SeqNum: 7,
		DataOffset: header.TCPMinimumSize, Flags: header.TCPFlagSyn, WindowSize: 65535})
	return tcp
}

// FuzzFrames: no frame of a guest ends the gateway or opens a way to the
// host's loopback. NAT is off, so that nothing is sent to the host's networks.
func FuzzFrames(f *testing.F) {
	from4, from6 := netip.AddrPortFrom(guest4, 5555), netip.AddrPortFrom(guest6, 5555)
	to4, to6 := netip.MustParseAddrPort("127.0.0.1:80"), netip.MustParseAddrPort("[::1]:80")
	f.Add([]byte{})
	f.Add(rawFrame(guestMAC, 6, guest4, to4.Addr(), syn(from4, to4)))
	f.Add(rawFrame(guestMAC, 6, guest6, to6.Addr(), syn(from6, to6)))
	f.Add(rawFrame(guestMAC, 17, guest4, gateway4, udpHeader(from4, netip.AddrPortFrom(gateway4, 53), nil)))
	f.Add(rawFrame(guestMAC, 1, guest4, gateway4, []byte{8, 0, 0, 0, 0, 1, 0, 1, 'x'}))
	f.Add(rawFrame(guestMAC, 58, guest6, gateway6, []byte{135, 0, 0, 0, 0, 0, 0, 0}))
	f.Add(rawFrame(guestMAC, 58, guest6, to6.Addr(), []byte{128, 0, 0, 0, 0, 1, 0, 1}))
	f.Add(rawFrame(guestMAC, 44, guest6, gateway6, []byte{17, 0, 0, 1, 0, 0, 0, 1, 'x'}))
	f.Add(rawFrame(guestMAC, 2, guest4, gateway4, []byte{0x16, 0, 0, 0}))
	cfg := testConfig()
	cfg.NAT = false
	g, err := New(cfg, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { g.Close() })
	go func() {
		for buf := make([]byte, 1<<17); ; {
			if _, err := g.Link().Read(buf); err != nil {
				return
			}
		}
	}()
	f.Fuzz(func(t *testing.T, frame []byte) {
		if _, err := g.Link().Write(frame); err != nil {
			t.Fatal(err)
		}
		// With the addresses of the link right, more of it is looked at.
		if len(frame) >= header.EthernetMinimumSize {
			good := rawFrame(guestMAC, 0, guest4, gateway4, nil)
			g.Link().Write(append(good[:12], frame[12:]...))
		}
	})
}
