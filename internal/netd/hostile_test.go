package netd

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/insomniacslk/dhcp/dhcpv4"

	"virtumld/internal/netswitch"
	"virtumld/internal/usernet"
)

// strangerCommand makes the test's binary somebody who tries to use the
// network of a folder.
const strangerCommand = "stranger"

func stranger(dir string) int {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	_, err := Dial(ctx, dir)
	fmt.Println(err)
	return 0
}

// Another user cannot use a network's process, not even with a folder and a
// socket that somebody has opened to all.
func TestAnotherUserIsRefused(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can become another user")
	}
	top, err := os.MkdirTemp("", "netd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(top) })
	dir := filepath.Join(top, "net")
	p, err := Start(bounded(t), "/proc/self/exe", &Spec{Name: "t", Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(bounded(t)); err != nil {
			t.Error(err)
		}
	})
	binary := filepath.Join(top, "stranger")
	if out, err := exec.Command("cp", os.Args[0], binary).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	ask := func(uid uint32) string {
		t.Helper()
		cmd := exec.Command(binary, strangerCommand, dir)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return strings.TrimSpace(string(out))
	}
	if err := os.Chmod(top, 0o711); err != nil {
		t.Fatal(err)
	}
	if got := ask(65534); !strings.Contains(got, "permission denied") {
		t.Errorf("with the folder closed: %s", got)
	}
	for path, mode := range map[string]os.FileMode{dir: 0o777, filepath.Join(dir, controlFile): 0o666} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	if got := ask(65534); !strings.Contains(got, "no process serves the network") {
		t.Errorf("with the folder open: %s", got)
	}
	if got := ask(0); got != "<nil>" {
		t.Errorf("root itself: %s", got)
	}
}

var (
	labGateway = netip.MustParsePrefix("10.83.0.1/24")
	labMAC     = net.HardwareAddr{0x52, 0x54, 0, 0x83, 0, 1}
)

// startLab starts a network with a gateway that gives addresses.
func startLab(t *testing.T) (*Process, string) {
	t.Helper()
	return startNet(t, func(s *Spec) {
		s.Gateway = &usernet.Config{
			Name: "lab", MAC: labMAC.String(), MTU: 1500,
			Subnets: []usernet.Subnet{{Gateway: labGateway, DHCP: &usernet.DHCP{Ranges: []usernet.Range{
				{First: netip.MustParseAddr("10.83.0.10"), Last: netip.MustParseAddr("10.83.0.29")},
			}}}},
		}
	})
}

// build makes a frame.
func build(t *testing.T, parts ...gopacket.SerializableLayer) []byte {
	t.Helper()
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, parts...); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

var everybody = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// arp is an ARP packet to everybody.
func arp(t *testing.T, operation uint16, mac net.HardwareAddr, sender, target netip.Addr) []byte {
	t.Helper()
	return build(t, &layers.Ethernet{SrcMAC: mac, DstMAC: everybody, EthernetType: layers.EthernetTypeARP}, &layers.ARP{
		AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4,
		Operation: operation, SourceHwAddress: mac, SourceProtAddress: sender.AsSlice(),
		DstHwAddress: make([]byte, 6), DstProtAddress: target.AsSlice(),
	})
}

// dhcpDiscover asks for an address.
func dhcpDiscover(t *testing.T, mac net.HardwareAddr) []byte {
	t.Helper()
	m, err := dhcpv4.NewDiscovery(mac)
	if err != nil {
		t.Fatal(err)
	}
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: net.IPv4zero.To4(), DstIP: net.IPv4bcast.To4()}
	udp := &layers.UDP{SrcPort: 68, DstPort: 67}
	if err := udp.SetNetworkLayerForChecksum(ip); err != nil {
		t.Fatal(err)
	}
	return build(t, &layers.Ethernet{SrcMAC: mac, DstMAC: everybody, EthernetType: layers.EthernetTypeIPv4}, ip, udp, gopacket.Payload(m.ToBytes()))
}

// try sends a frame for which there may be no room.
func (g *guest) try(frame []byte) {
	_ = g.SetWriteDeadline(time.Now().Add(2 * time.Minute))
	_, _ = g.Write(frame)
}

// awaits reads until a frame comes that is the one. ask is called again and
// again, since networks may drop frames.
func (g *guest) awaits(t *testing.T, what string, ask func(), isIt func(gopacket.Packet) bool) {
	t.Helper()
	b := make([]byte, netswitch.MaxFrame)
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); {
		ask()
		again := time.Now().Add(time.Second)
		for {
			_ = g.SetReadDeadline(again)
			n, err := g.Read(b)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if isIt(gopacket.NewPacket(b[:n], layers.LayerTypeEthernet, gopacket.Default)) {
				return
			}
		}
	}
	t.Fatalf("%s does not come", what)
}

// isAnswerOf reports whether a packet is an ARP answer for an address.
func isAnswerOf(a netip.Addr) func(gopacket.Packet) bool {
	return func(p gopacket.Packet) bool {
		found, ok := p.Layer(layers.LayerTypeARP).(*layers.ARP)
		return ok && found.Operation == layers.ARPReply && netip.AddrFrom4([4]byte(found.SourceProtAddress)) == a
	}
}

func isOffer(p gopacket.Packet) bool {
	udp, ok := p.Layer(layers.LayerTypeUDP).(*layers.UDP)
	return ok && udp.SrcPort == 67
}

// A guest that says it is the gateway is heard by nobody, and one that makes up
// MAC addresses leaves addresses to others.
func TestHostileGuest(t *testing.T) {
	t.Parallel()
	_, dir := startLab(t)
	bad, good := newGuest(t), newGuest(t)
	bad.plug(t, dir, Port{ID: "bad"})
	good.plug(t, dir, Port{ID: "good"})
	goodMAC, badMAC := net.HardwareAddr{2, 0, 0, 0, 0, 1}, net.HardwareAddr{2, 0, 0, 0, 0, 2}
	goodIP, badIP := netip.MustParseAddr("10.83.0.200"), netip.MustParseAddr("10.83.0.201")

	for i := range 300 {
		bad.try(dhcpDiscover(t, net.HardwareAddr{2, 1, 0, 0, byte(i >> 8), byte(i)}))
	}
	claim := func() {
		bad.try(arp(t, layers.ARPReply, badMAC, labGateway.Addr(), goodIP))
		bad.try(arp(t, layers.ARPReply, labMAC, badIP, goodIP))
		bad.try(arp(t, layers.ARPReply, badMAC, badIP, goodIP))
	}
	claims := 0
	good.awaits(t, "what is sent after the claims", claim, func(p gopacket.Packet) bool {
		found, ok := p.Layer(layers.LayerTypeARP).(*layers.ARP)
		if ok && (string(found.SourceHwAddress) == string(labMAC) || netip.AddrFrom4([4]byte(found.SourceProtAddress)) == labGateway.Addr()) {
			claims++
		}
		return isAnswerOf(badIP)(p)
	})
	if claims > 0 {
		t.Errorf("%d claims to be the gateway have come through", claims)
	}
	asks := func(frame []byte) func() { return func() { good.try(frame) } }
	good.awaits(t, "the gateway's answer", asks(arp(t, layers.ARPRequest, goodMAC, goodIP, labGateway.Addr())), isAnswerOf(labGateway.Addr()))
	good.awaits(t, "an offer", asks(dhcpDiscover(t, goodMAC)), isOffer)
}

// A guest that floods, with all kinds of frames, holds up nobody and makes the
// process keep little.
func TestFlood(t *testing.T) {
	t.Parallel()
	p, dir := startLab(t)
	good := newGuest(t)
	good.plug(t, dir, Port{ID: "good"})
	mac, ip := net.HardwareAddr{2, 0, 0, 0, 0, 1}, netip.MustParseAddr("10.83.0.200")
	mac2 := net.HardwareAddr{2, 0, 0, 0, 0, 2}
	question := func() { good.try(arp(t, layers.ARPRequest, mac, ip, labGateway.Addr())) }
	good.awaits(t, "the gateway's answer", question, isAnswerOf(labGateway.Addr()))
	files := openFiles(t, p.PID())

	size := 1400
	frames := map[string]func(i uint32, f []byte) []byte{
		"broadcast": func(i uint32, f []byte) []byte { copy(f, everybody); copy(f[6:], mac2); return f },
		"nobody": func(i uint32, f []byte) []byte {
			binary.BigEndian.PutUint32(f[2:], i)
			f[0] = 2
			copy(f[6:], mac2)
			return f
		},
		"senders": func(i uint32, f []byte) []byte {
			copy(f, everybody)
			binary.BigEndian.PutUint32(f[8:], i)
			f[6] = 2
			return f
		},
		"garbage": func(i uint32, f []byte) []byte { copy(f, labMAC); copy(f[6:], mac2); return f[:14+i%1300] },
		"syn": func(i uint32, f []byte) []byte {
			ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: net.IP{10, 83, 0, 202}, DstIP: net.IP{10, 83, 0, 1}}
			tcp := &layers.TCP{SrcPort: layers.TCPPort(i), DstPort: 53, SYN: true, Window: 1000}
			_ = tcp.SetNetworkLayerForChecksum(ip)
			return build(t, &layers.Ethernet{SrcMAC: mac2, DstMAC: labMAC, EthernetType: layers.EthernetTypeIPv4}, ip, tcp)
		},
	}
	for name, make1 := range frames {
		bad := newGuest(t)
		bad.plug(t, dir, Port{ID: name})
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			room := make([]byte, size)
			for i := uint32(0); ctx.Err() == nil; i++ {
				for j := range room[:14] {
					room[j] = 0
				}
				room[12], room[13] = 0x08, 0x00
				bad.try(make1(i, room))
			}
		}()
		for range 5 {
			good.awaits(t, "the gateway's answer in a flood of "+name, question, isAnswerOf(labGateway.Addr()))
		}
		cancel()
		_ = bad.SetWriteDeadline(time.Unix(1, 0))
		<-ended
		if kib := memory(t, p.PID()); kib > 512<<10 {
			t.Errorf("after a flood of %s the process has %d KiB", name, kib)
		}
		bad.Close()
		c := dial(t, dir)
		for end := time.Now().Add(2 * time.Minute); portState(t, c, name).Plugged; {
			if time.Now().After(end) {
				t.Fatalf("the port of a guest that is gone is plugged in")
			}
		}
		c.Close()
	}
	for end := time.Now().Add(2 * time.Minute); openFiles(t, p.PID()) > files; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the process has %d open files, before the floods it had %d", openFiles(t, p.PID()), files)
		}
	}
}

func openFiles(t *testing.T, pid int) int {
	t.Helper()
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// memory is what a process has in memory that is its own, in KiB.
func memory(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	var kib int
	_, rest, _ := strings.Cut(string(text), "RssAnon:")
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		t.Fatal(err)
	}
	return kib
}
