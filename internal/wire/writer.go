package wire

import (
	"io"
	"sync"
)

// Writer writes packets to one connection, each in one call of Write, so that
// packets of several goroutines do not mix.
type Writer struct {
	// mu is held while a packet is written, which takes as long as the
	// peer pleases. Only what goes to this same peer waits for it.
	mu   sync.Mutex
	sink io.Writer
	err  error // guarded by mu: the first failure; the stream may be out of step
}

// NewWriter makes a Writer to sink.
func NewWriter(sink io.Writer) *Writer { return &Writer{sink: sink} }

// Write sends one finished packet. After an error every further call returns
// that error.
func (w *Writer) Write(packet []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return w.err
	}
	_, w.err = w.sink.Write(packet)
	return w.err
}
