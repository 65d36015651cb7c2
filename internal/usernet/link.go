package usernet

import (
	"io"
	"sync"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// What waits to be read from the link is bounded in bytes. It is more than a
// few connections' windows, so that in the common case nothing is lost.
const linkQueue = 32 << 20

// link is the cable between the stack and the switch: for the stack an
// interface (stack.LinkEndpoint), for the switch a connection with a frame a
// Read or Write, or several at once (ReadFrames). The stack is given to send TCP segments of up to 64 KiB
// (GSO); they are cut to size as they are read.
type link struct {
	gateway *Gateway
	mtu     uint32

	mu         sync.Mutex
	dispatcher stack.NetworkDispatcher
	queue      []*stack.PacketBuffer
	bytes      int
	closed     bool
	// ready has room for one token; there is one when queue is not empty.
	ready chan struct{}

	// reading is held by Read and ReadFrames, over batch and cut, which are its own.
	reading sync.Mutex
	batch   []*stack.PacketBuffer
	next    int
	cut     *segmenter
}

var (
	_ stack.LinkEndpoint = stackSide{}
	_ stack.GSOEndpoint  = stackSide{}
)

func newLink(g *Gateway, mtu int) *link {
	return &link{gateway: g, mtu: uint32(mtu), ready: make(chan struct{}, 1)}
}

// batchBytes is how much ReadFrames gives at once, about: what a processor's
// cache still holds when it is sent.
const batchBytes = 128 << 10

// Read gives the next frame that the stack sends.
func (l *link) Read(p []byte) (int, error) {
	l.reading.Lock()
	defer l.reading.Unlock()
	return l.frame(p)
}

// ReadFrames waits for a frame and gives what is there then
// (netswitch.BatchReader).
func (l *link) ReadFrames(room [][]byte) (int, error) {
	l.reading.Lock()
	defer l.reading.Unlock()
	bytes := 0
	for i := range room {
		if i > 0 && (bytes >= batchBytes || !l.more()) {
			return i, nil
		}
		n, err := l.frame(room[i])
		if err == io.EOF {
			return i, err
		}
		room[i] = room[i][:n] // nothing when it did not fit
		bytes += n
	}
	return len(room), nil
}

// more reports whether frame would not wait.
func (l *link) more() bool {
	if l.cut != nil && !l.cut.done() || l.next < len(l.batch) {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.queue) > 0
}

// frame gives the next frame, or io.EOF at the end.
func (l *link) frame(p []byte) (int, error) {
	for {
		if l.cut != nil {
			if n, more := l.cut.next(p); more {
				return n, nil
			}
			l.cut.packet.DecRef()
			l.cut = nil
		}
		if l.next == len(l.batch) {
			if !l.refill() {
				return 0, io.EOF
			}
		}
		packet := l.batch[l.next]
		l.batch[l.next] = nil
		l.next++
		if packet.GSOOptions.Type != stack.GSONone {
			l.cut = newSegmenter(packet)
			continue
		}
		n, ok := copyFrame(p, packet)
		packet.DecRef()
		if !ok {
			return 0, io.ErrShortBuffer
		}
		return n, nil
	}
}

// refill waits for packets and takes all there are.
func (l *link) refill() bool {
	for {
		l.mu.Lock()
		if l.closed {
			l.mu.Unlock()
			return false
		}
		if len(l.queue) > 0 {
			l.batch, l.queue = l.queue, l.batch[:0]
			l.next, l.bytes = 0, 0
			l.mu.Unlock()
			return true
		}
		l.mu.Unlock()
		<-l.ready
	}
}

func copyFrame(p []byte, packet *stack.PacketBuffer) (int, bool) {
	n := 0
	for _, s := range packet.AsSlices() {
		if len(s) > len(p)-n {
			return 0, false
		}
		n += copy(p[n:], s)
	}
	return n, true
}

// Write gives the stack a frame. What the stack does not want is dropped.
func (l *link) Write(frame []byte) (int, error) {
	l.mu.Lock()
	dispatcher := l.dispatcher
	closed := l.closed
	l.mu.Unlock()
	if closed || dispatcher == nil {
		return 0, io.ErrClosedPipe
	}
	l.gateway.receive(frame, dispatcher)
	return len(frame), nil
}

// headerRoom is more than the headers of most frames take.
const headerRoom = 128

// copyIn copies a frame, with the headers in a part of their own: the stack
// copies the whole part that a header is in, for each packet.
func copyIn(frame []byte) buffer.Buffer {
	if len(frame) <= 2*headerRoom {
		return buffer.MakeWithData(frame)
	}
	out := buffer.MakeWithData(frame[:headerRoom])
	out.Append(buffer.NewViewWithData(frame[headerRoom:]))
	return out
}

// deliver hands a frame that receive has let pass to the stack.
func deliver(frame []byte, dispatcher stack.NetworkDispatcher) {
	packet := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: copyIn(frame)})
	defer packet.DecRef()
	packet.LinkHeader().Consume(header.EthernetMinimumSize)
	eth := header.Ethernet(frame)
	packet.PktType = tcpip.PacketHost
	if header.IsMulticastEthernetAddress(eth.DestinationAddress()) {
		packet.PktType = tcpip.PacketMulticast
	}
	if eth.DestinationAddress() == header.EthernetBroadcastAddress {
		packet.PktType = tcpip.PacketBroadcast
	}
	packet.NetworkProtocolNumber = eth.Type()
	dispatcher.DeliverNetworkPacket(eth.Type(), packet)
}

// Close ends the gateway.
func (l *link) Close() error { return l.gateway.Close() }

// stackSide is the link as the stack has it.
type stackSide struct{ *link }

// Close does nothing: the stack does not own the link.
func (stackSide) Close() {}

// shut ends Read and Write and forgets what is queued.
func (l *link) shut() {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return
	}
	l.closed = true
	drop(l.queue)
	l.queue, l.bytes = nil, 0
	l.mu.Unlock()
	close(l.ready)
	l.reading.Lock()
	defer l.reading.Unlock()
	drop(l.batch[l.next:])
	l.batch, l.next = nil, 0
	if l.cut != nil {
		l.cut.packet.DecRef()
		l.cut = nil
	}
}

func drop(packets []*stack.PacketBuffer) {
	for _, p := range packets {
		p.DecRef()
	}
}

// WritePackets queues packets of the stack. It never waits.
func (l *link) WritePackets(packets stack.PacketBufferList) (int, tcpip.Error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return 0, &tcpip.ErrClosedForSend{}
	}
	n := 0
	for _, p := range packets.AsSlice() {
		if l.bytes >= linkQueue {
			break
		}
		l.bytes += p.MemSize()
		l.queue = append(l.queue, p.IncRef())
		n++
	}
	select {
	case l.ready <- struct{}{}:
	default:
	}
	if n == 0 {
		return 0, &tcpip.ErrNoBufferSpace{}
	}
	return n, nil
}

// Attach is told where packets go; nil takes the link out of the stack.
func (l *link) Attach(d stack.NetworkDispatcher) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dispatcher = d
}

// IsAttached reports whether the link is in a stack.
func (l *link) IsAttached() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dispatcher != nil
}

// AddHeader puts the Ethernet header before a packet.
func (l *link) AddHeader(p *stack.PacketBuffer) {
	header.Ethernet(p.LinkHeader().Push(header.EthernetMinimumSize)).Encode(&header.EthernetFields{
		SrcAddr: l.LinkAddress(),
		DstAddr: p.EgressRoute.RemoteLinkAddress,
		Type:    p.NetworkProtocolNumber,
	})
}

// ParseHeader takes the Ethernet header off a packet.
func (l *link) ParseHeader(p *stack.PacketBuffer) bool {
	_, ok := p.LinkHeader().Consume(header.EthernetMinimumSize)
	return ok
}

// Capabilities: addresses are sought by ARP and NDP. Checksums of what comes
// in are not verified, since it came through memory only.
func (l *link) Capabilities() stack.LinkEndpointCapabilities {
	return stack.CapabilityResolutionRequired | stack.CapabilityRXChecksumOffload
}

// The rest of stack.LinkEndpoint and stack.GSOEndpoint.

func (l *link) MTU() uint32                             { return l.mtu }
func (l *link) SetMTU(uint32)                           {}
func (l *link) MaxHeaderLength() uint16                 { return header.EthernetMinimumSize }
func (l *link) LinkAddress() tcpip.LinkAddress          { return tcpip.LinkAddress(l.gateway.mac) }
func (l *link) SetLinkAddress(tcpip.LinkAddress)        {}
func (l *link) ARPHardwareType() header.ARPHardwareType { return header.ARPHardwareEther }
func (l *link) SetOnCloseAction(func())                 {}
func (l *link) Wait()                                   {}
func (l *link) GSOMaxSize() uint32                      { return 1 << 16 }
func (l *link) SupportedGSO() stack.SupportedGSO        { return stack.HostGSOSupported }
