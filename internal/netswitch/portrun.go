package netswitch

import (
	"sync"
	"sync/atomic"
	"time"
)

// Port is a device's place in a switch.
type Port struct {
	sw     *Switch
	conn   Conn
	config atomic.Pointer[PortConfig]
	count  counters

	// writing is held over Write of a conn that is no BatchWriter.
	writing sync.Mutex
	room    waitingRoom

	// shapes is nil until a shape is set.
	shapes atomic.Pointer[shaper]
	// changing is held over a change of config and shapes; ended says that
	// there will be no more shapes.
	changing sync.Mutex
	ended    bool

	shutOnce sync.Once
	// closing is closed by shut, done when the port is out.
	closing, done chan struct{}

	// learned counts the port's addresses, out says that it gets no more;
	// both belong to addressTable.mu.
	learned int
	out     bool
}

func newPort(s *Switch, config PortConfig, conn Conn) *Port {
	p := &Port{sw: s, conn: conn, closing: make(chan struct{}), done: make(chan struct{})}
	p.Configure(config)
	return p
}

// Config returns the settings.
func (p *Port) Config() PortConfig { return *p.config.Load() }

// Configure changes the settings, from the next frame on.
func (p *Port) Configure(config PortConfig) {
	p.changing.Lock()
	defer p.changing.Unlock()
	config.VLAN &= vlanMask
	p.config.Store(&config)
	shapes := p.shapes.Load()
	if shapes == nil && !p.ended && (config.In.active() || config.Out.active()) {
		shapes = newShaper(p)
		p.shapes.Store(shapes)
		go shapes.run()
	}
	if shapes != nil {
		shapes.set(config.In, config.Out)
	}
}

// Counters returns what has passed so far.
func (p *Port) Counters() Counters { return p.count.read() }

// Done is closed when the port is out: its Conn has ended, or was closed.
func (p *Port) Done() <-chan struct{} { return p.done }

// Closing is closed when Close was called, which tells that end of a port from
// the one that its device made.
func (p *Port) Closing() <-chan struct{} { return p.closing }

// Close pulls the port and returns when it is out.
func (p *Port) Close() error {
	p.shut()
	<-p.done
	return nil
}

func (p *Port) shut() {
	p.shutOnce.Do(func() {
		close(p.closing)
		p.conn.Close()
	})
}

// run forwards what the device sends, to its end.
func (p *Port) run() {
	defer close(p.done)
	f := &forwarder{port: p, wait: time.NewTimer(time.Hour)}
	f.wait.Stop()
	f.readAll()
	p.sw.detach(p)
	p.conn.Close()
	p.changing.Lock()
	defer p.changing.Unlock()
	p.ended = true
	if shapes := p.shapes.Load(); shapes != nil {
		shapes.stop()
	}
}

// readAll reads to the end of the Conn.
func (f *forwarder) readAll() {
	switch conn := f.port.conn.(type) {
	case *Socket:
		for {
			b, n, err := conn.readBatch()
			if err != nil {
				return
			}
			f.take(b.frames[:n])
			batches.Put(b)
		}
	case BatchReader:
		b := newBatch(batchSize)
		for {
			copy(b.frames, b.room)
			n, err := conn.ReadFrames(b.frames)
			f.take(b.frames[:n])
			if err != nil {
				return
			}
		}
	default:
		b := newBatch(1)
		for {
			n, err := f.port.conn.Read(b.room[0])
			if err != nil {
				return
			}
			b.frames[0] = b.room[0][:n]
			f.take(b.frames[:1])
		}
	}
}

// counters are a port's, each on its own: readers may see one ahead of another.
type counters struct {
	rxBytes, rxPackets, rxErrors, rxDropped atomic.Uint64
	txBytes, txPackets, txErrors, txDropped atomic.Uint64
}

func (c *counters) read() Counters {
	return Counters{
		RxBytes: c.rxBytes.Load(), RxPackets: c.rxPackets.Load(),
		RxErrors: c.rxErrors.Load(), RxDropped: c.rxDropped.Load(),
		TxBytes: c.txBytes.Load(), TxPackets: c.txPackets.Load(),
		TxErrors: c.txErrors.Load(), TxDropped: c.txDropped.Load(),
	}
}
