package netd

import (
	"slices"
	"strings"
	"sync"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/netswitch"
)

// maxLines bounds how many ports are known. Past it, the one that was made
// first of those that are not plugged is forgotten.
const maxLines = 4096

// line is a port with all that outlives a plug.
type line struct {
	// changing is held over a change of what is plugged.
	changing sync.Mutex

	// All below belongs to lines.mu.
	port Port
	// kept says that port was set by itself, and no plug changes it.
	kept  bool
	order int
	// past are the counters of earlier plugs, live is the present one.
	past netswitch.Counters
	live *plugged
}

// plugged is one stay of an interface in a line.
type plugged struct {
	line *line
	port *netswitch.Port
}

// pull takes the interface out and returns when it is.
func (p *plugged) pull() { _ = p.port.Close() }

// lines are the ports of the network by their IDs.
type lines struct {
	sw *netswitch.Switch

	mu    sync.Mutex
	byID  map[string]*line
	order int
}

func newLines(sw *netswitch.Switch) *lines {
	return &lines{sw: sw, byID: map[string]*line{}}
}

// get returns the line of a port, made if need be.
func (l *lines) get(port Port) (*line, error) {
	if port.ID == "" {
		return nil, failed(libvirt.ErrInvalidArg, "a port needs an ID")
	}
	if found := l.byID[port.ID]; found != nil {
		return found, nil
	}
	if len(l.byID) >= maxLines && !l.evict() {
		return nil, failed(libvirt.ErrOperationFailed, "the network has %d ports, which is the most it can have", maxLines)
	}
	made := &line{port: port, order: l.order}
	l.order++
	l.byID[port.ID] = made
	return made, nil
}

func (l *lines) evict() bool {
	oldest := ""
	for id, line := range l.byID {
		if line.live == nil && (oldest == "" || line.order < l.byID[oldest].order) {
			oldest = id
		}
	}
	delete(l.byID, oldest)
	return oldest != ""
}

// set changes the settings of a port.
func (l *lines) set(port Port) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	line, err := l.get(port)
	if err != nil {
		return err
	}
	line.port, line.kept = port, true
	if line.live != nil {
		line.live.port.Configure(line.config())
	}
	return nil
}

// config is the switch port's settings.
func (l *line) config() netswitch.PortConfig {
	config := l.port.PortConfig
	if config.Name == "" {
		config.Name = l.port.ID
	}
	return config
}

// forget removes a port that is not plugged.
func (l *lines) forget(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if line := l.byID[id]; line != nil && line.live == nil {
		delete(l.byID, id)
	}
}

// plug plugs a connection in. It owns conn in any case.
func (l *lines) plug(port Port, conn netswitch.Conn) (*plugged, error) {
	l.mu.Lock()
	line, err := l.get(port)
	l.mu.Unlock()
	if err != nil {
		conn.Close()
		return nil, err
	}
	line.changing.Lock()
	defer line.changing.Unlock()
	if before := l.present(line); before != nil {
		before.pull()
		l.settle(before)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.byID[port.ID] = line // it may have been forgotten meanwhile
	if !line.kept {
		line.port = port
	}
	p, err := l.sw.Attach(line.config(), conn)
	if err != nil {
		return nil, failed(libvirt.ErrOperationInvalid, "cannot plug port %s in: %w", port.ID, err)
	}
	line.live = &plugged{line, p}
	go l.watch(line.live)
	return line.live, nil
}

func (l *lines) present(line *line) *plugged {
	l.mu.Lock()
	defer l.mu.Unlock()
	return line.live
}

// watch settles a plug at its end.
func (l *lines) watch(p *plugged) {
	<-p.port.Done()
	l.settle(p)
}

// settle adds up what a plug that is out has counted, once.
func (l *lines) settle(p *plugged) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.line.live == p {
		p.line.past = sum(p.line.past, p.port.Counters())
		p.line.live = nil
	}
}

func sum(a, b netswitch.Counters) netswitch.Counters {
	a.RxBytes += b.RxBytes
	a.RxPackets += b.RxPackets
	a.RxErrors += b.RxErrors
	a.RxDropped += b.RxDropped
	a.TxBytes += b.TxBytes
	a.TxPackets += b.TxPackets
	a.TxErrors += b.TxErrors
	a.TxDropped += b.TxDropped
	return a
}

// isPort reports whether p is what is plugged at the port of that ID.
func (l *lines) isPort(id string, p *netswitch.Port) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	line := l.byID[id]
	return line != nil && line.live != nil && line.live.port == p
}

// state returns all ports, sorted by ID.
func (l *lines) state() []PortState {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := make([]PortState, 0, len(l.byID))
	for _, line := range l.byID {
		state := PortState{Port: line.port, Plugged: line.live != nil, Counters: line.past}
		if line.live != nil {
			state.Counters = sum(line.past, line.live.port.Counters())
		}
		list = append(list, state)
	}
	slices.SortFunc(list, func(a, b PortState) int { return strings.Compare(a.ID, b.ID) })
	return list
}
