package netswitch

import (
	"io"
	"time"
)

// MaxFrame is the largest frame that a port carries, in bytes: what a UML
// kernel's vector device sends with an MTU of 65534 (arch/um/drivers/vector_kern.c).
const MaxFrame = 65534 + 14 + 4

// Conn carries Ethernet frames, without their checksum: each Read takes one
// whole frame, each Write sends one. A Write that would have to wait fails
// instead: the frame is dropped. Close ends a Read that waits.
type Conn = io.ReadWriteCloser

// Shape is what is done to the frames of a port in one direction.
type Shape struct {
	// Average is the rate in bytes a second, 0 for no limit; Peak the rate
	// of bursts (0: none), and Burst how many bytes may go at Peak.
	Average, Peak, Burst uint64
	// Delay holds every frame back, Jitter varies it by at most that much.
	Delay, Jitter time.Duration
	// Loss is the share of frames that are dropped, from 0 to 1.
	Loss float64
}

// PortConfig is a port's settings.
type PortConfig struct {
	// Name is the port's name in captures and lists.
	Name string
	// Isolated ports cannot reach each other.
	Isolated bool
	// VLAN is the port's access VLAN: ports of different ones cannot reach
	// each other. 0 is the untagged one, in which a gateway is.
	VLAN uint16
	// Trunk ports carry the frames of all VLANs, tagged (IEEE 802.1Q) but
	// for those of VLAN; with Tags, of those VLANs only,
	// and without a tag none unless VLAN is set.
	Trunk bool
	Tags  []uint16 `json:",omitempty"`
	// Down is a link without carrier: nothing passes.
	Down bool
	// Uplink is a port that serves all others: a gateway, a tap, a socket.
	// Frames from it never wait for a guest that is slow, they are dropped,
	// and there may be any number of addresses behind it.
	Uplink bool
	// In shapes what the port's device sends into the switch, Out what it
	// is sent.
	In, Out Shape
}

// Counters count frames and bytes from the view of the port's device: Rx is
// what it was sent.
type Counters struct {
	RxBytes, RxPackets, RxErrors, RxDropped uint64
	TxBytes, TxPackets, TxErrors, TxDropped uint64
}
