package netswitch

import "sync"

// smallFrame is the room that a frame of the usual MTU needs.
const smallFrame = 2048

// buffer holds a copy of a frame.
type buffer struct{ data []byte }

var (
	smallBuffers = sync.Pool{New: func() any { return &buffer{make([]byte, 0, smallFrame)} }}
	largeBuffers = sync.Pool{New: func() any { return &buffer{make([]byte, 0, MaxFrame+tagSize)} }}
)

func copyFrame(frame []byte) *buffer {
	pool := &smallBuffers
	if len(frame) > smallFrame {
		pool = &largeBuffers
	}
	b, _ := pool.Get().(*buffer)
	b.data = append(b.data[:0], frame...)
	return b
}

func (b *buffer) free() {
	if cap(b.data) > smallFrame {
		largeBuffers.Put(b)
		return
	}
	smallBuffers.Put(b)
}

func freeAll(list []*buffer) {
	for _, b := range list {
		b.free()
	}
}

// views appends the frames of a list.
func views(list []*buffer, frames [][]byte) [][]byte {
	for _, b := range list {
		frames = append(frames, b.data)
	}
	return frames
}
