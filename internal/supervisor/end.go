package supervisor

import (
	"time"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/rundir"
	"virtumld/internal/virerr"
)

const (
	// lingerTime is how long a supervisor whose guest has ended waits for
	// the daemon to take note.
	lingerTime = 10 * time.Second
	// settleTime is how long a console's reader may take to read the rest.
	settleTime = 300 * time.Millisecond
)

// finish ends the guest for good. Everything it held is given back and the
// record is written before anybody hears of it; only the consoles stay, for
// what their readers have not read yet.
func (g *guest) finish(exit Exit) {
	g.exit = &exit
	close(g.over)
	g.retry = nil
	g.log("%s: %s", exit.Cause, exit.Text)
	g.release()
	if err := rundir.WriteJSON(g.spec.Dir, exitFile, exit); err != nil {
		g.log("cannot write the exit record: %v", err)
	}
	g.tell(Event{Type: Exited, Exit: g.exit})
	for _, c := range g.waiting {
		c.answer(nil, g.state.Facts)
	}
	g.waiting = nil
	gone := virerr.New(libvirt.ErrOperationInvalid, "the guest has ended")
	for _, c := range g.resets {
		c.answer(gone, g.state.Facts)
	}
	g.resets = nil
}

// refuse tells that the guest could not be made.
func (g *guest) refuse(err error) {
	g.linger(err)
}

// linger tells the end, or the failure of the start, to whoever asks, until
// the daemon has taken note, none is connected, or time is up. The daemon that
// started the guest is always about to connect, if it has not yet.
func (g *guest) linger(failure error) {
	deadline := time.After(lingerTime)
	expected := !g.hub.met
	for expected || len(g.hub.peers) > 0 {
		select {
		case p := <-g.hub.joins:
			if expected && failure == nil {
				g.welcome(p) // its guest was made, and has ended since
			}
			expected = false
			g.hub.join(p)
			p.send(g.lastReport(failure))
			if failure != nil {
				g.hub.drop(p)
				<-p.flushed
			}
		case p := <-g.hub.leaves:
			g.hub.drop(p)
		case c := <-g.hub.calls:
			c.answer(nil, g.state.Facts)
			if c.Command == cmdNoted {
				g.hub.drop(c.from)
				<-c.from.flushed
			}
		case <-deadline:
			g.hub.flush()
			expected = false
		}
	}
	g.closeConsoles()
}

func (g *guest) lastReport(failure error) report {
	facts := g.state.Facts
	if failure != nil {
		return report{Error: toRemote(failure), Facts: &facts}
	}
	return report{Event: &Event{Type: Exited, Exit: g.exit}, Facts: &facts}
}
