package usernet

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
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

func TestPing(t *testing.T) {
	one := newGuest(t, newGateway(t, testConfig()))
	for _, test := range []struct {
		to   netip.Addr
		size int
	}{{gateway4, 56}, {gateway4, 4000}, {gateway6, 56}, {outsideAddr(t), 56}, {outsideAddr(t), 4000}} {
		t.Log(test)
		if err := one.ping(test.to, test.size); err != nil {
			t.Errorf("ping of %v with %d bytes: %v", test.to, test.size, err)
		}
	}
}
