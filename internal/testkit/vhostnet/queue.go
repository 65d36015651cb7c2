package vhostnet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// region is a part of the guest's memory. In UML the user addresses of the
// protocol are the guest's physical ones (arch/um/drivers/virtio_uml.c,
// vhost_user_init_mem_region).
type region struct {
	address uint64
	bytes   []byte
	mapped  []byte
}

type memory []region

// mapMemory maps what a SET_MEM_TABLE describes.
func mapMemory(m message) (memory, error) {
	const header, length = 8, 32
	count := int(uint32(m.number()))
	if count != len(m.files) || len(m.payload) < header+count*length {
		return nil, fmt.Errorf("%d regions, %d files, %d bytes", count, len(m.files), len(m.payload))
	}
	var all memory
	for i, fd := range m.files {
		fields := m.payload[header+i*length:]
		field := func(n int) uint64 { return binary.NativeEndian.Uint64(fields[8*n:]) }
		address, size, offset := field(0), field(1), field(3)
		mapped, err := unix.Mmap(fd, 0, int(offset+size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if err != nil {
			all.close()
			return nil, err
		}
		all = append(all, region{address, mapped[offset : offset+size], mapped})
	}
	return all, nil
}

func (m memory) close() {
	for _, r := range m {
		_ = unix.Munmap(r.mapped)
	}
}

// at is the memory from address on, nil where there is none.
func (m memory) at(address, length uint64) []byte {
	for _, r := range m {
		if address >= r.address && address-r.address <= uint64(len(r.bytes)) && length <= uint64(len(r.bytes))-(address-r.address) {
			return r.bytes[address-r.address:][:length:length]
		}
	}
	return nil
}

// Flags of a descriptor.
const hasNext = 1

// Lengths in bytes: of a descriptor, of a used entry, and of what is before the
// entries of a ring (flags and index).
const (
	descriptorLength = 16
	usedLength       = 8
	ringHeader       = 4
)

// queue is a split virtqueue, of which this is the device's side.
type queue struct {
	size, next, done uint16
	enabled          bool
	table            []byte // of descriptors
	available, used  []byte // rings
	kick, call       *os.File
}

// place takes struct vhost_vring_addr: index, flags, descriptors, used ring,
// available ring, log.
func (q *queue) place(m memory, payload []byte) error {
	if len(payload) < 40 {
		return errors.New("is too short")
	}
	field := func(n int) uint64 { return binary.NativeEndian.Uint64(payload[8*n:]) }
	size := uint64(q.size)
	q.table = m.at(field(1), size*descriptorLength)
	q.used = m.at(field(2), ringHeader+size*usedLength)
	q.available = m.at(field(3), ringHeader+size*2)
	if q.table == nil || q.used == nil || q.available == nil {
		return errors.New("the queue is outside of the guest's memory")
	}
	q.done = uint16(atomic.LoadUint32(word(q.used)) >> 16)
	return nil
}

// word is the flags and the index of a ring, which change at once.
func word(ring []byte) *uint32 { return (*uint32)(unsafe.Pointer(&ring[0])) }

// pop takes the next chain of buffers that the guest has made available.
func (q *queue) pop(m memory) (head uint16, buffers [][]byte, ok bool) {
	if !q.enabled || q.table == nil || q.size == 0 || uint16(atomic.LoadUint32(word(q.available))>>16) == q.next {
		return 0, nil, false
	}
	head = binary.NativeEndian.Uint16(q.available[ringHeader+2*int(q.next%q.size):])
	q.next++
	for i, left := head, q.size; left > 0 && i < q.size; left-- {
		d := q.table[int(i)*descriptorLength:]
		address, length := binary.NativeEndian.Uint64(d), binary.NativeEndian.Uint32(d[8:])
		buffers = append(buffers, m.at(address, uint64(length)))
		if binary.NativeEndian.Uint16(d[12:])&hasNext == 0 {
			break
		}
		i = binary.NativeEndian.Uint16(d[14:])
	}
	return head, buffers, true
}

// push gives a chain back, of which the device has written some bytes.
func (q *queue) push(head uint16, written uint32) {
	entry := q.used[ringHeader+usedLength*int(q.done%q.size):]
	binary.NativeEndian.PutUint32(entry, uint32(head))
	binary.NativeEndian.PutUint32(entry[4:], written)
	q.done++
	atomic.StoreUint32(word(q.used), uint32(q.done)<<16)
}

// notify tells the guest that there is something new.
func (q *queue) notify() {
	if q.call != nil {
		_, _ = q.call.Write([]byte{1, 0, 0, 0, 0, 0, 0, 0}) // a guest that has gone
	}
}

func (q *queue) setCall(fd int) {
	if q.call != nil {
		q.call.Close()
	}
	q.call = os.NewFile(uintptr(fd), "call")
}

// close ends the use of the queue.
func (q *queue) close() {
	if q.kick != nil {
		q.kick.Close()
	}
	if q.call != nil {
		q.call.Close()
	}
	q.kick, q.call, q.enabled = nil, nil, false
}
