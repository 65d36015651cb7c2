package netswitch

import (
	"time"
)

// forwarder brings frames of one port to others. It belongs to one goroutine.
type forwarder struct {
	port *Port
	// wait is the timer of waits for room; scratch is for tagged copies.
	wait    *time.Timer
	scratch []byte
	one     [1][]byte
	// waits says that the device may be held up for a receiver.
	waits bool
}

// take takes what the device has sent: counts it, shapes it and forwards it.
func (f *forwarder) take(frames [][]byte) {
	p := f.port
	config := p.config.Load()
	f.waits = !config.Uplink
	size, good := 0, frames[:0]
	for _, frame := range frames {
		if !valid(frame) {
			p.count.txErrors.Add(1)
			continue
		}
		size += len(frame)
		good = append(good, frame)
	}
	if len(good) == 0 {
		return
	}
	p.count.txPackets.Add(uint64(len(good)))
	p.count.txBytes.Add(uint64(size))
	if config.Down {
		p.count.txDropped.Add(uint64(len(good)))
		return
	}
	p.sw.show(p, FromDevice, good)
	if shapes := p.shapes.Load(); shapes != nil && shapes.in.active() {
		for _, frame := range good {
			if !shapes.push(&shapes.in, frame, f.waits) {
				p.count.txDropped.Add(1)
			}
		}
		return
	}
	f.forward(config, good)
}

// valid reports whether a frame has a header, and a sender that is one.
func valid(frame []byte) bool {
	if len(frame) < headerSize || len(frame) > MaxFrame {
		return false
	}
	source := frame[6:12]
	return source[0]&1 == 0 && makeAddress(source, 0) != 0
}

// forward finds the receivers of frames. Frames that follow each other to the
// same one are sent together.
func (f *forwarder) forward(config *PortConfig, frames [][]byte) {
	p, now := f.port, time.Now().Unix()
	var run struct {
		first int
		to    *Port
		flood bool
		tag   uint16
	}
	flush := func(end int) {
		switch {
		case run.first == end:
		case run.flood:
			f.flood(config, frames[run.first:end], run.tag)
		case run.to != nil:
			f.deliver(config, run.to, frames[run.first:end], run.tag, f.waits)
		}
		run.first = end
	}
	for i := range frames {
		frame, tag, ok := admitVLAN(config, frames[i])
		to, flood := (*Port)(nil), false
		if ok && p.sw.forbids(config, frame, tag) {
			p.count.txDropped.Add(1)
		} else if ok {
			frames[i] = frame
			vlan := tag & vlanMask
			p.sw.addresses.learn(makeAddress(frame[6:], vlan), p, now)
			if flood = frame[0]&1 != 0; !flood {
				to = p.sw.addresses.find(makeAddress(frame, vlan), now)
				flood = to == nil
			}
		} else {
			p.count.txErrors.Add(1)
		}
		if to == p {
			to = nil // it is there already
		}
		if to != run.to || flood != run.flood || tag != run.tag {
			flush(i)
			run.to, run.flood, run.tag = to, flood, tag
		}
	}
	flush(len(frames))
}

// forbids reports whether a frame that a port has sent must go nowhere.
func (s *Switch) forbids(config *PortConfig, frame []byte, tag uint16) bool {
	if config.Uplink || tag&vlanMask != 0 {
		return false
	}
	dropped := s.forbidden.Load()
	return dropped != nil && (*dropped)(frame)
}

// flood gives frames to all other ports. It waits for none.
func (f *forwarder) flood(config *PortConfig, frames [][]byte, tag uint16) {
	for _, to := range *f.port.sw.ports.Load() {
		if to != f.port {
			f.deliver(config, to, frames, tag, false)
		}
	}
}

// deliver gives frames to a port, if it may have them.
func (f *forwarder) deliver(from *PortConfig, to *Port, frames [][]byte, tag uint16, wait bool) {
	config := to.config.Load()
	if from.Isolated && config.Isolated {
		return
	}
	how := passageFor(config, tag)
	switch {
	case how == barred:
	case config.Down:
		to.count.rxDropped.Add(uint64(len(frames)))
	case how == tagged:
		f.deliverTagged(to, frames, tag, wait)
	case config.Trunk:
		f.deliverBare(to, frames, wait)
	default:
		f.give(to, frames, wait)
	}
}

// deliverTagged gives each frame with its tag.
func (f *forwarder) deliverTagged(to *Port, frames [][]byte, tag uint16, wait bool) {
	for _, frame := range frames {
		f.scratch = appendTagged(f.scratch[:0], frame, tag)
		f.one[0] = f.scratch
		f.give(to, f.one[:], wait)
	}
}

// deliverBare gives a trunk what is in its own VLAN. A frame with a tag that
// its device made would be in another one there.
func (f *forwarder) deliverBare(to *Port, frames [][]byte, wait bool) {
	for _, frame := range frames {
		if isTagged(frame) {
			continue
		}
		f.one[0] = frame
		f.give(to, f.one[:], wait)
	}
}

// give shapes frames and sends them to the port's device.
func (f *forwarder) give(to *Port, frames [][]byte, wait bool) {
	shapes := to.shapes.Load()
	if shapes == nil || !shapes.out.active() {
		to.send(frames, f.patience(wait))
		return
	}
	for _, frame := range frames {
		if !shapes.push(&shapes.out, frame, false) {
			to.count.rxDropped.Add(1)
		}
	}
}

// patience is the timer to wait with for room, nil for not at all.
func (f *forwarder) patience(wait bool) *time.Timer {
	if !wait {
		return nil
	}
	return f.wait
}
