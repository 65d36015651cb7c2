package dispatch

import (
	"sync"
	"sync/atomic"
	"time"

	"virtumld/internal/proto"
	"virtumld/internal/wire"
)

// keepalive pings a client that has been silent for an interval, and gives it
// up when count pings went unanswered. Any packet is an answer. ping and dead
// must not wait.
type keepalive struct {
	interval time.Duration
	count    int
	ping     func()
	dead     func()

	spoken atomic.Bool // a packet came since the last tick

	mu      sync.Mutex // guards what follows
	timer   *time.Timer
	left    int // pings that may still go unanswered
	stopped bool
}

func newKeepalive(interval time.Duration, count int, ping, dead func()) *keepalive {
	return &keepalive{interval: interval, count: count, ping: ping, dead: dead}
}

// start begins to watch the client, once.
func (k *keepalive) start() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.interval <= 0 || k.timer != nil || k.stopped {
		return
	}
	k.left = k.count
	k.timer = time.AfterFunc(k.interval, k.tick)
}

// heard notes that the client lives.
func (k *keepalive) heard() {
	if !k.spoken.Load() {
		k.spoken.Store(true)
	}
}

// tick looks back on one interval.
func (k *keepalive) tick() {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.stopped:
		return
	case k.spoken.Swap(false):
		k.left = k.count
	case k.left == 0:
		k.dead()
		return
	default:
		k.left--
		k.ping()
	}
	k.timer.Reset(k.interval)
}

// stop ends the watch.
func (k *keepalive) stop() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.stopped = true
	if k.timer != nil {
		k.timer.Stop()
	}
}

// keepaliveHeader is a ping's or a pong's header.
func keepaliveHeader(procedure int32) wire.Header {
	return wire.Header{
		Program: proto.ProgramKeepalive, Version: proto.Version, Procedure: procedure,
		Type: wire.Message, Status: wire.OK,
	}
}

// ping queues a ping.
func (c *client) ping() {
	c.messages.put(wire.Begin(nil, keepaliveHeader(proto.KeepalivePing)))
}

// keepalivePacket answers a ping. That a pong came is all it says.
func (c *client) keepalivePacket(h wire.Header) error {
	if h.Procedure != proto.KeepalivePing {
		return nil
	}
	return c.send(keepaliveHeader(proto.KeepalivePong), nil)
}
