package console

import "sync"

// Tail keeps the newest bytes that were written to it.
type Tail struct {
	mu   sync.Mutex // guards data
	data []byte
	size int
}

// NewTail returns a Tail of size bytes.
func NewTail(size int) *Tail { return &Tail{size: size} }

// Write keeps the end of p and never fails.
func (t *Tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(p)
	if len(p) > t.size {
		p = p[len(p)-t.size:]
	}
	if excess := len(t.data) + len(p) - t.size; excess > 0 {
		t.data = t.data[:copy(t.data, t.data[excess:])]
	}
	t.data = append(t.data, p...)
	return n, nil
}

// Bytes returns a copy of what is kept.
func (t *Tail) Bytes() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]byte(nil), t.data...)
}

// Reset forgets everything.
func (t *Tail) Reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.data = t.data[:0]
}
