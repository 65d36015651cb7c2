package usernet

import (
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// segmenter cuts one large TCP packet of the stack into frames that fit the
// link, as a network card would (GSO), and fills in their checksums.
type segmenter struct {
	packet *stack.PacketBuffer
	// headers are the Ethernet, IP and TCP headers as the stack made them.
	headers  []byte
	ip, tcp  int // where those begin in headers
	v6       bool
	mss      int
	payload  [][]byte // what is still to be sent
	left     int
	sent     int
	segments int
}

func newSegmenter(p *stack.PacketBuffer) *segmenter {
	s := &segmenter{packet: p, mss: max(int(p.GSOOptions.MSS), 1), v6: p.GSOOptions.Type == stack.GSOTCPv6}
	size := p.HeaderSize()
	s.headers = make([]byte, 0, size)
	for _, slice := range p.AsSlices() {
		if take := min(size-len(s.headers), len(slice)); take > 0 {
			s.headers = append(s.headers, slice[:take]...)
			slice = slice[take:]
		}
		if len(slice) > 0 {
			s.payload = append(s.payload, slice)
			s.left += len(slice)
		}
	}
	s.ip = len(p.LinkHeader().Slice())
	s.tcp = s.ip + len(p.NetworkHeader().Slice())
	return s
}

// next writes the next frame into p; false says that there is none, or that it
// does not fit p.
func (s *segmenter) next(p []byte) (int, bool) {
	if s.done() {
		return 0, false
	}
	size := min(s.mss, s.left)
	total := len(s.headers) + size
	if len(p) < total {
		return 0, false
	}
	copy(p, s.headers)
	s.copyPayload(p[len(s.headers):total])
	s.patch(p[:total], size)
	s.sent += size
	s.segments++
	return total, true
}

// done reports whether all has been cut.
func (s *segmenter) done() bool { return s.segments > 0 && s.left == 0 }

func (s *segmenter) copyPayload(to []byte) {
	s.left -= len(to)
	for len(to) > 0 {
		n := copy(to, s.payload[0])
		to = to[n:]
		if s.payload[0] = s.payload[0][n:]; len(s.payload[0]) == 0 {
			s.payload = s.payload[1:]
		}
	}
}

// patch makes the headers of a frame those of its segment.
func (s *segmenter) patch(frame []byte, size int) {
	segment := frame[s.tcp:]
	tcp := header.TCP(segment)
	tcp.SetSequenceNumber(tcp.SequenceNumber() + uint32(s.sent))
	if s.left > 0 {
		tcp.SetFlags(uint8(tcp.Flags() &^ (header.TCPFlagFin | header.TCPFlagPsh)))
	}
	if s.sent > 0 {
		tcp.SetFlags(uint8(tcp.Flags() &^ header.TCPFlagCwr))
	}
	var pseudo uint16
	if s.v6 {
		ip := header.IPv6(frame[s.ip:])
		ip.SetPayloadLength(uint16(len(segment) + s.tcp - s.ip - header.IPv6MinimumSize))
		pseudo = header.PseudoHeaderChecksum(header.TCPProtocolNumber, ip.SourceAddress(), ip.DestinationAddress(), uint16(len(segment)))
	} else {
		ip := header.IPv4(frame[s.ip:])
		ip.SetTotalLength(uint16(len(frame) - s.ip))
		ip.SetID(ip.ID() + uint16(s.segments))
		ip.SetChecksum(0)
		ip.SetChecksum(^ip.CalculateChecksum())
		pseudo = header.PseudoHeaderChecksum(header.TCPProtocolNumber, ip.SourceAddress(), ip.DestinationAddress(), uint16(len(segment)))
	}
	tcp.SetChecksum(0)
	tcp.SetChecksum(^checksum.Checksum(segment, pseudo))
}
