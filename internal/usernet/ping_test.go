package usernet

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// ping sends an echo request of size bytes and waits for its answer.
func (o *guest) ping(to netip.Addr, size int) error {
	protocol, kind, answer := icmp.ProtocolNumber4, byte(header.ICMPv4Echo), byte(header.ICMPv4EchoReply)
	if to.Is6() {
		protocol, kind, answer = icmp.ProtocolNumber6, byte(header.ICMPv6EchoRequest), byte(header.ICMPv6EchoReply)
	}
	queue := new(waiter.Queue)
	entry, notified := waiter.NewChannelEntry(waiter.ReadableEvents | waiter.EventErr)
	unreachable := o.refusals()
	queue.EventRegister(&entry)
	socket, failed := o.stack.NewEndpoint(protocol, network(to), queue)
	if failed != nil {
		return fmt.Errorf("%v", failed)
	}
	defer socket.Close()
	if failed := socket.Connect(tcpip.FullAddress{NIC: nic, Addr: address(to)}); failed != nil {
		return fmt.Errorf("%v", failed)
	}
	message := make([]byte, 8, 8+size)
	message[0] = kind
	binary.BigEndian.PutUint16(message[6:], 9)
	message = append(message, noise(size)...)
	if _, failed := socket.Write(bytes.NewReader(message), tcpip.WriteOptions{}); failed != nil {
		return fmt.Errorf("%v", failed)
	}
	select {
	case <-notified:
	case <-unreachable:
		return fmt.Errorf("unreachable")
	case <-time.After(patience):
		return fmt.Errorf("no answer")
	}
	var back bytes.Buffer
	if _, failed := socket.Read(&back, tcpip.ReadOptions{}); failed != nil {
		return fmt.Errorf("%v", failed)
	}
	if got := back.Bytes(); len(got) < 8 || got[0] != answer || got[7] != 9 || !bytes.Equal(got[8:], message[8:]) {
		return errDiffers
	}
	return nil
}

// refusals is closed with the next ICMP error about an ICMP packet.
func (o *guest) refusals() <-chan struct{} {
	got := make(chan struct{})
	var once sync.Once
	o.onFrame.Store(&frameHook{func(frame []byte) {
		ip := header.IPv4(frame[header.EthernetMinimumSize:])
		v4 := header.Ethernet(frame).Type() == header.IPv4ProtocolNumber && ip.Protocol() == 1 && ip[header.IPv4MinimumSize] == byte(header.ICMPv4DstUnreachable) && ip[header.IPv4MinimumSize+8+9] == 1
		v6 := header.Ethernet(frame).Type() == header.IPv6ProtocolNumber && ip[6] == uint8(header.ICMPv6ProtocolNumber) && ip[header.IPv6MinimumSize] == byte(header.ICMPv6DstUnreachable) && ip[header.IPv6MinimumSize+8+6] == uint8(header.ICMPv6ProtocolNumber)
		if v4 || v6 {
			once.Do(func() { close(got) })
		}
	}})
	return got
}

// pinging reports whether the host lets this process make ping sockets.
func pinging() bool {
	conn, err := newPinger().dial(netip.MustParseAddr("127.0.0.1"))
	if err == nil {
		conn.Close()
	}
	return err == nil
}

func TestPing(t *testing.T) {
	one := newGuest(t, newGateway(t, testConfig()))
	for _, to := range []netip.Addr{gateway4, gateway6, outsideAddr(t)} {
		for _, size := range []int{0, 56, 1400} {
			err := one.ping(to, size)
			if to != gateway4 && to != gateway6 && !pinging() {
				// The host does not let us: the guest is told so.
				if err == nil || !strings.Contains(err.Error(), "unreachable") && !strings.Contains(err.Error(), "route") {
					t.Errorf("ping of %v without the right to: %v", to, err)
				}
				continue
			}
			if err != nil {
				t.Errorf("ping of %v with %d bytes: %v", to, size, err)
			}
		}
	}
	if err := one.ping(gateway4, 4000); err != nil {
		t.Errorf("ping in fragments: %v", err)
	}
}
