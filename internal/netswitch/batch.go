package netswitch

import "sync"

// BatchReader is a Conn that reads several frames at once. Each goes into one
// of room, which is cut to its length; a frame that does not fit, or that is
// none, is cut to nothing.
type BatchReader interface {
	ReadFrames(room [][]byte) (int, error)
}

// BatchWriter is a Conn that sends several frames at once. WriteFrames returns
// how many it has sent; fewer than all, without an error, means that there is
// no room for more at the moment. A frame that cannot be sent at all counts as
// not sent, with an error.
type BatchWriter interface {
	WriteFrames(frames [][]byte) (int, error)
}

// batchSize is how many frames are read at once.
const batchSize = 64

// roomSize is the distance between two frames of a batch. It is not a power of
// two, else the beginnings of all frames would share few lines of the cache.
const roomSize = MaxFrame + 2048

// batch is a set of frames that were read at once.
type batch struct {
	room   [][]byte
	frames [][]byte // room, cut to what was read
	vector *vector  // nil unless it is of a socket
}

func newBatch(size int) *batch {
	b := &batch{room: make([][]byte, size), frames: make([][]byte, size)}
	memory := make([]byte, size*roomSize)
	for i := range b.room {
		b.room[i] = memory[i*roomSize:][:MaxFrame:MaxFrame]
	}
	return b
}

// batches are shared by all ports: one that waits for frames holds none.
var batches = sync.Pool{New: func() any {
	b := newBatch(batchSize)
	b.vector = newVector(batchSize)
	b.vector.setAll(b.room)
	return b
}}
