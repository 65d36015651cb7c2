package netd

import (
	"context"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"
	"golang.org/x/sys/unix"

	"virtumld/internal/netswitch"
)

// The bounds of what clients may do: how many may be there at once, and how
// long one may take to read an answer.
const (
	maxClients = 4096
	answerTime = 10 * time.Second
)

// server is the network's process.
type server struct {
	spec  *Spec
	sw    *netswitch.Switch
	lines *lines
	way   wayOut
	// owner may connect, and root.
	owner int

	clients chan struct{}
	running sync.WaitGroup
}

func newServer(spec *Spec) *server {
	s := &server{spec: spec, sw: netswitch.New(), owner: os.Geteuid(), clients: make(chan struct{}, maxClients)}
	s.lines = newLines(s.sw)
	return s
}

// open brings up the way out, as the user that the process was started by
// where it must, and becomes the other user.
func (s *server) open() error {
	if err := s.way.openDevice(s.spec); err != nil {
		return err
	}
	if s.spec.User != nil {
		if err := handOver(s.spec); err != nil {
			return err
		}
		if err := become(s.spec.User, s.spec.changesDevice()); err != nil {
			return err
		}
	}
	return s.way.join(s.spec, s.sw, logf)
}

func (s *server) close() {
	s.way.close()
	s.sw.Close()
}

// watchDevice calls end when somebody has taken the network's device away: who
// keeps this process starts it anew, and with it the device.
func (s *server) watchDevice(ctx context.Context, end func()) {
	if s.way.device == nil {
		return
	}
	select {
	case <-s.way.port.Done():
		logf("the device %s is gone", s.way.tapName)
		end()
	case <-ctx.Done():
	}
}

// run serves clients until ctx ends.
func (s *server) run(ctx context.Context, listener *net.UnixListener) {
	ctx, cancel := context.WithCancel(ctx)
	defer s.running.Wait()
	defer cancel()
	context.AfterFunc(ctx, func() { listener.Close() })
	go s.watchDevice(ctx, cancel)
	for {
		s.clients <- struct{}{}
		conn, err := listener.AcceptUnix()
		if ctx.Err() != nil {
			return
		}
		if err != nil { // too many open files
			<-s.clients
			logf("cannot take a client: %v", err)
			pause(ctx)
			continue
		}
		s.running.Add(1)
		go func() {
			defer s.running.Done()
			s.serve(ctx, conn)
			<-s.clients
		}()
	}
}

// pause waits for somebody to go when there are too many.
func pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(100 * time.Millisecond):
	}
}

// serve serves one client until it goes or ctx ends.
func (s *server) serve(ctx context.Context, conn *net.UnixConn) {
	defer conn.Close()
	c, err := newChannel(conn)
	if err != nil || !mayAsk(c, s.owner) {
		return
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	session := &session{server: s, conn: c}
	defer session.close()
	if session.tell(report{}) != nil {
		return
	}
	for {
		var r request
		file, err := c.receive(&r)
		if err != nil {
			return
		}
		answer := session.handle(&r, file)
		answer.ID = r.ID
		if session.tell(answer) != nil {
			return
		}
		session.begin()
	}
}

// mayAsk reports whether the peer is who started the process, or root.
func mayAsk(c *channel, owner int) bool {
	var peer *unix.Ucred
	var failure error
	err := c.raw.Control(func(fd uintptr) {
		peer, failure = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	return err == nil && failure == nil && (peer.Uid == 0 || int(peer.Uid) == owner)
}

// refuse tells the first client why there is no network.
func refuse(ctx context.Context, listener *net.UnixListener, err error) {
	_ = listener.SetDeadline(time.Now().Add(answerTime))
	stop := context.AfterFunc(ctx, func() { listener.Close() })
	defer stop()
	conn, acceptErr := listener.AcceptUnix()
	if acceptErr != nil {
		return
	}
	defer conn.Close()
	if c, channelErr := newChannel(conn); channelErr == nil {
		_ = c.send(report{Error: toRemote(err)}, nil) // or it has gone
	}
}

// session is one client's connection.
type session struct {
	server *server
	conn   *channel
	// sending is held while a report is sent.
	sending sync.Mutex

	// plug and capture are what the connection holds, if anything.
	plug    *plugged
	capture *capture
	// start is called after the answer that it follows.
	start func()
}

// tell sends a report. A client that does not read is dropped.
func (s *session) tell(r report) error {
	s.sending.Lock()
	defer s.sending.Unlock()
	_ = s.conn.SetWriteDeadline(time.Now().Add(answerTime))
	err := s.conn.send(r, nil)
	if err != nil {
		s.conn.Close()
	}
	return err
}

// begin starts what must not come before the answer.
func (s *session) begin() {
	if s.start != nil {
		go s.start()
		s.start = nil
	}
}

// close ends what lasted as long as the connection.
func (s *session) close() {
	if s.plug != nil {
		s.plug.pull()
	}
	if s.capture != nil {
		s.capture.stop()
	}
}

// handle carries out one request.
func (s *session) handle(r *request, file *os.File) report {
	var err error
	answer := report{}
	switch {
	case r.Command == cmdState:
		answer.State = s.server.state()
	case r.Command == cmdConfigure && r.Spec != nil:
		err = s.server.way.configure(r.Spec)
	case r.Command == cmdSetPort && r.Port != nil:
		err = s.server.lines.set(*r.Port)
	case r.Command == cmdForget:
		s.server.lines.forget(r.PortID)
	case r.Command == cmdPlug && r.Port != nil && file != nil && s.idle():
		err = s.plugIn(*r.Port, file)
		file = nil
	case r.Command == cmdCapture && file != nil && s.idle():
		err = s.beginCapture(r.PortID, file)
		file = nil
	default:
		err = failed(libvirt.ErrInternalError, "the network's process cannot do '%s'", r.Command)
	}
	closeFile(file)
	answer.Error = toRemote(err)
	return answer
}

// idle reports whether the connection holds nothing yet.
func (s *session) idle() bool { return s.plug == nil && s.capture == nil }

func (s *session) plugIn(port Port, file *os.File) error {
	conn, err := netswitch.NewSocket(file)
	if err != nil {
		file.Close()
		return failed(libvirt.ErrInvalidArg, "the interface of port %s has no connection: %w", port.ID, err)
	}
	if s.plug, err = s.server.lines.plug(port, conn); err != nil {
		return err
	}
	s.start = s.watchPlug
	return nil
}

// watchPlug tells the client when its plug has come out.
func (s *session) watchPlug() {
	<-s.plug.port.Done()
	select {
	case <-s.plug.port.Closing(): // pulled from this side
	default:
		_ = s.tell(report{GuestClosed: true}) // or the client has gone, too
	}
	s.conn.Close()
}

func (s *session) beginCapture(port string, file *os.File) error {
	c, err := s.server.capture(port, file)
	if err != nil {
		return err
	}
	s.capture = c
	s.start = func() {
		<-c.done
		if c.err != nil {
			_ = s.tell(report{Ended: true, Error: toRemote(c.err)}) // or it has gone
		}
		s.conn.Close()
	}
	return nil
}

// state tells how the network stands.
func (s *server) state() *State {
	state := s.way.state()
	state.Ports = s.lines.state()
	return &state
}

// logLimit bounds what the process writes to its log, in lines.
const logLimit = 10000

var logged struct {
	sync.Mutex
	lines int
}

// logf writes a line to the log, which stays of a size that cannot hurt.
func logf(format string, args ...any) {
	logged.Lock()
	defer logged.Unlock()
	if logged.lines++; logged.lines > logLimit {
		return
	}
	fmt.Fprintf(os.Stderr, "%s "+format+"\n", append([]any{time.Now().UTC().Format(time.RFC3339)}, args...)...)
}
