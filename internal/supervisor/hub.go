package supervisor

import (
	"net"
	"time"
)

// call is a request with the way to answer it.
type call struct {
	request
	from *peer
}

func (c call) answer(err error, facts Facts) {
	c.from.send(report{ID: c.ID, Error: toRemote(err), Facts: &facts})
}

// hub serves the daemons that are connected: one, as a rule.
type hub struct {
	listener *net.UnixListener
	joins    chan *peer
	calls    chan call
	leaves   chan *peer
	// peers and met, which says that there ever was one, are the guest's
	// loop's own.
	peers map[*peer]bool
	met   bool
}

func newHub(listener *net.UnixListener) *hub {
	h := &hub{
		listener: listener,
		joins:    make(chan *peer), calls: make(chan call), leaves: make(chan *peer),
		peers: make(map[*peer]bool),
	}
	go h.accept()
	return h
}

func (h *hub) accept() {
	for {
		conn, err := h.listener.AcceptUnix()
		if err != nil {
			return
		}
		p := &peer{conn: conn, queue: make(chan report, peerQueue), flushed: make(chan struct{})}
		h.joins <- p
		go p.write()
		go h.read(p)
	}
}

func (h *hub) read(p *peer) {
	for {
		var r request
		if err := receive(p.conn, &r); err != nil {
			h.leaves <- p
			return
		}
		h.calls <- call{r, p}
	}
}

// join takes in a daemon that has connected.
func (h *hub) join(p *peer) {
	h.peers[p] = true
	h.met = true
}

// tell reports to all that are connected.
func (h *hub) tell(r report) {
	for p := range h.peers {
		p.send(r)
	}
}

// drop ends a connection after what was told to it.
func (h *hub) drop(p *peer) {
	if h.peers[p] {
		delete(h.peers, p)
		p.close()
	}
}

// flush ends all connections and waits until they were told everything.
func (h *hub) flush() {
	for p := range h.peers {
		h.drop(p)
		<-p.flushed
	}
}

const (
	// peerQueue is how many reports wait for a daemon.
	peerQueue = 64
	// peerPatience is how long a daemon may take nothing.
	peerPatience = 2 * time.Second
)

// peer is one connected daemon. queue is written to and closed by the guest's
// loop only.
type peer struct {
	conn    *net.UnixConn
	queue   chan report
	flushed chan struct{}
	closed  bool
}

// send queues r. A daemon that takes nothing loses its connection, not the
// guest its supervisor.
func (p *peer) send(r report) {
	if p.closed {
		return
	}
	select {
	case p.queue <- r:
	default:
		p.conn.Close()
	}
}

func (p *peer) write() {
	defer close(p.flushed)
	defer p.conn.Close()
	for r := range p.queue {
		_ = p.conn.SetWriteDeadline(time.Now().Add(peerPatience))
		if err := send(p.conn, r); err != nil {
			p.conn.Close()
		}
	}
}

func (p *peer) close() {
	p.closed = true
	close(p.queue)
}
