package netswitch

import (
	"encoding/binary"
	"slices"
)

// The parts of an Ethernet frame (IEEE 802.3) and of a tag (IEEE 802.1Q).
const (
	headerSize  = 14
	typeOffset  = 12
	tagSize     = 4
	tagProtocol = 0x8100
	// vlanMask is the VLAN's number in a tag, the rest is its priority.
	vlanMask = 0x0fff
	// vlanReserved must not be used.
	vlanReserved = 0x0fff
)

func isTagged(frame []byte) bool {
	return binary.BigEndian.Uint16(frame[typeOffset:]) == tagProtocol
}

// admitVLAN takes a frame that the device of a port has sent. It returns the
// frame without the tag of the VLAN that it is in, and that tag. What an access
// port sends is in its VLAN, tags of the device's own included. The frame is
// changed in place.
func admitVLAN(c *PortConfig, frame []byte) (bare []byte, tag uint16, ok bool) {
	if !c.Trunk || !isTagged(frame) {
		return frame, c.VLAN, c.hasUntagged()
	}
	if len(frame) < headerSize+tagSize {
		return nil, 0, false
	}
	tag = binary.BigEndian.Uint16(frame[headerSize:])
	switch tag & vlanMask {
	case 0: // only a priority
		if !c.hasUntagged() {
			return nil, 0, false
		}
		tag |= c.VLAN
	case vlanReserved:
		return nil, 0, false
	default:
		if !c.carries(tag) {
			return nil, 0, false
		}
	}
	copy(frame[tagSize:], frame[:typeOffset])
	return frame[tagSize:], tag, true
}

// hasUntagged reports whether frames without a tag are in a VLAN of the port.
func (c *PortConfig) hasUntagged() bool { return !c.Trunk || c.VLAN != 0 || len(c.Tags) == 0 }

// carries reports whether a trunk has the tag's VLAN.
func (c *PortConfig) carries(tag uint16) bool {
	id := tag & vlanMask
	return len(c.Tags) == 0 || id == c.VLAN || slices.Contains(c.Tags, id)
}

// passage says how a frame of a VLAN goes out of a port.
type passage int

const (
	barred passage = iota
	bare
	tagged
)

// passageFor tells how frames with tag go out of a port.
func passageFor(c *PortConfig, tag uint16) passage {
	switch {
	case tag&vlanMask == c.VLAN && c.hasUntagged():
		return bare
	case c.Trunk && tag&vlanMask != 0 && c.carries(tag):
		return tagged
	default:
		return barred
	}
}

// appendTagged appends frame with a tag put in.
func appendTagged(room, frame []byte, tag uint16) []byte {
	room = append(room, frame[:typeOffset]...)
	room = binary.BigEndian.AppendUint16(room, tagProtocol)
	room = binary.BigEndian.AppendUint16(room, tag)
	return append(room, frame[typeOffset:]...)
}
