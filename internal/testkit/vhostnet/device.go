package vhostnet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Features of the device (virtio 1.2, 5.1.3 and 6) and of the protocol.
const (
	featureMAC      = 1 << 5
	featureProtocol = 1 << 30
	featureVersion1 = 1 << 32

	protocolReplyAck   = 1 << 3
	protocolBackendReq = 1 << 5
	protocolConfig     = 1 << 9
)

// A network device's queues.
const (
	receiveQueue  = 0
	transmitQueue = 1
	queues        = 2
)

// frameHeader is struct virtio_net_hdr with its num_buffers, in bytes.
const frameHeader = 12

// device is one guest's device. Its serve is the only one to change it.
type device struct {
	net  *Switch
	kind Kind
	conn *net.UnixConn
	wait sync.WaitGroup

	mu     sync.Mutex
	memory memory
	queues [queues]queue
	// requests is the channel of our own requests, of which there are none.
	requests *os.File
}

// serve answers the guest until it closes.
func (d *device) serve() error {
	for {
		m, err := readMessage(d.conn)
		if err == nil {
			err = d.handle(m)
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed), errors.Is(err, unix.ECONNRESET), errors.Is(err, unix.EPIPE):
			return nil
		case err != nil:
			return err
		}
	}
}

// close returns when nothing of the device is left.
func (d *device) close() {
	d.conn.Close()
	d.mu.Lock()
	for i := range d.queues {
		d.queues[i].close()
	}
	d.closeRequests()
	d.mu.Unlock()
	d.wait.Wait()
	d.memory.close()
}

func (d *device) closeRequests() {
	if d.requests != nil {
		d.requests.Close()
		d.requests = nil
	}
}

// handle does what one message asks for.
func (d *device) handle(m message) error {
	taken, answer, err := d.act(m)
	if !taken {
		for _, fd := range m.files {
			unix.Close(fd)
		}
	}
	switch {
	case err != nil:
		return fmt.Errorf("request %d: %w", m.request, err)
	case answer != nil:
		return reply(d.conn, m, answer)
	case m.flags&flagNeedReply != 0:
		return reply(d.conn, m, make([]byte, 8))
	}
	return nil
}

// act carries a message out. taken says that its files are kept.
func (d *device) act(m message) (taken bool, answer []byte, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.kind == Plain && (m.request == getConfig || m.request == setBackendReq) {
		return false, nil, errors.New("was not offered")
	}
	switch m.request {
	case getFeatures:
		return false, binary.NativeEndian.AppendUint64(nil, d.features()), nil
	case getProtocolFeatures:
		return false, binary.NativeEndian.AppendUint64(nil, d.protocol()), nil
	case getConfig:
		return false, d.config(m.payload), nil
	case setMemTable:
		d.memory.close()
		d.memory, err = mapMemory(m)
		return false, nil, err
	case setBackendReq:
		if len(m.files) != 1 {
			return false, nil, errors.New("has no file")
		}
		d.closeRequests()
		d.requests = os.NewFile(uintptr(m.files[0]), "requests")
		return true, nil, nil
	case setFeatures:
		return false, nil, accepted(m.number(), d.features())
	case setProtocolFeatures:
		return false, nil, accepted(m.number(), d.protocol())
	case setOwner, resetOwner, setConfig, setVringErr:
		return false, nil, nil
	}
	return d.actOnQueue(m)
}

func (d *device) features() uint64 {
	if d.kind == Plain {
		return featureProtocol | featureVersion1
	}
	return featureProtocol | featureVersion1 | featureMAC
}

func (d *device) protocol() uint64 {
	if d.kind == Plain {
		return protocolReplyAck
	}
	return protocolReplyAck | protocolBackendReq | protocolConfig
}

// config fills in struct virtio_net_config, whose first field is the address.
func (d *device) config(request []byte) []byte {
	const header = 12
	answer := make([]byte, max(header, len(request)))
	copy(answer, request[:min(header, len(request))])
	copy(answer[header:], MAC)
	return answer
}

// actOnQueue carries out what is said of one queue, by its number.
func (d *device) actOnQueue(m message) (taken bool, answer []byte, err error) {
	number := uint32(m.number())
	if m.request == setVringKick || m.request == setVringCall {
		number &= 0xff
	}
	if number >= queues {
		return false, nil, fmt.Errorf("there is no queue %d", number)
	}
	q := &d.queues[number]
	value := uint32(m.number() >> 32)
	switch m.request {
	case setVringNum:
		q.size = uint16(value)
	case setVringBase:
		q.next = uint16(value)
	case setVringAddr:
		return false, nil, q.place(d.memory, m.payload)
	case setVringEnable:
		q.enabled = value != 0
	case getVringBase:
		q.close()
		return false, binary.NativeEndian.AppendUint32(binary.NativeEndian.AppendUint32(nil, number), uint32(q.next)), nil
	case setVringCall:
		if len(m.files) == 1 {
			q.setCall(m.files[0])
			return true, nil, nil
		}
	case setVringKick:
		if len(m.files) == 1 {
			return true, nil, d.setKick(number, m.files[0])
		}
	default:
		return false, nil, errors.New("is not known")
	}
	return false, nil, nil
}

// setKick has the queue followed, if it is one that the guest sends by.
func (d *device) setKick(number uint32, fd int) error {
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return err
	}
	q := &d.queues[number]
	if q.kick != nil {
		q.kick.Close()
	}
	kick := os.NewFile(uintptr(fd), "kick")
	q.kick = kick
	if number == transmitQueue {
		d.wait.Go(func() { d.follow(kick) })
	}
	return nil
}

// follow forwards what the guest sends, until kick is closed.
func (d *device) follow(kick *os.File) {
	counter := make([]byte, 8)
	for {
		if _, err := kick.Read(counter); err != nil {
			return
		}
		for _, frame := range d.sent() {
			d.net.forward(d, frame)
		}
	}
}

// sent takes the frames from the guest's queue.
func (d *device) sent() [][]byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	var frames [][]byte
	q := &d.queues[transmitQueue]
	for {
		head, buffers, ok := q.pop(d.memory)
		if !ok {
			break
		}
		var frame []byte
		for _, b := range buffers {
			frame = append(frame, b...)
		}
		q.push(head, 0)
		if len(frame) > frameHeader {
			frames = append(frames, frame[frameHeader:])
		}
	}
	if len(frames) > 0 {
		q.notify()
	}
	return frames
}

// send gives the guest a frame. One for which it has no room is dropped.
func (d *device) send(frame []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	q := &d.queues[receiveQueue]
	head, buffers, ok := q.pop(d.memory)
	if !ok {
		return
	}
	header := make([]byte, frameHeader, frameHeader+len(frame))
	header[10] = 1 // num_buffers
	rest := append(header, frame...)
	written := uint32(0)
	for _, b := range buffers {
		n := copy(b, rest)
		rest, written = rest[n:], written+uint32(n)
	}
	q.push(head, written)
	q.notify()
}

// accepted checks that features were offered.
func accepted(features, offered uint64) error {
	if more := features &^ offered; more != 0 {
		return fmt.Errorf("the features %#x were not offered", more)
	}
	return nil
}
