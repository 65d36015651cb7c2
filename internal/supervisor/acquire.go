package supervisor

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/mconsole"
	"virtumld/internal/rundir"
	"virtumld/internal/supervisor/console"
	"virtumld/internal/supervisor/contain"
	"virtumld/internal/supervisor/dac"
	"virtumld/internal/supervisor/nic"
	"virtumld/internal/supervisor/vhost"
	"virtumld/internal/virerr"
)

// outputSize is how much of the kernel's own output is kept for a report.
const outputSize = 4 << 10

// held is all that a guest holds of the host.
type held struct {
	log    *console.Log
	output *console.Tail
	// outputRead is where the kernel's own output of this boot comes from;
	// outputDone is closed when all of it has come.
	outputRead *os.File
	outputDone chan struct{}
	entry      *umidEntry
	locks      []*os.File
	// diskLocks are those of the disks, by unit.
	diskLocks map[int][]*os.File
	owners    *dac.Ledger
	notify    *mconsole.Listener
	lines     []*console.Line
	nics      *nic.Set
	virtio    []*vhost.Relay
}

// acquire takes all that the guest needs, in an order in which a failure
// changes nothing that matters to others.
func (g *guest) acquire() error {
	g.held.output = console.NewTail(outputSize)
	log, err := console.OpenLog(g.spec.LogFile, true)
	if err != nil {
		return fileError("open the guest's log", g.spec.LogFile, err)
	}
	g.held.log = log
	if g.held.entry, err = claim(g.spec); err != nil {
		return err
	}
	if err := g.lockAll(); err != nil {
		return err
	}
	if err := g.makeFolders(); err != nil {
		return err
	}
	if g.spec.User != nil {
		g.held.owners = dac.Open(g.spec.Owners)
	}
	if err := giveFiles(g.held.owners, g.spec, g.spec.files()); err != nil {
		return err
	}
	if err := g.openLines(); err != nil {
		return err
	}
	if err := g.openInterfaces(); err != nil {
		return err
	}
	return g.openVirtio()
}

// makeFolders makes the guest's uml_dir, with the notify socket in it, and the
// mount point of its root.
func (g *guest) makeFolders() error {
	for _, dir := range []string{g.spec.uml(), g.spec.path(rootFolder)} {
		if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			return fileError("make", dir, err)
		}
	}
	socket := filepath.Join(g.spec.uml(), path.Base(GuestNotify))
	notify, err := mconsole.Listen(socket)
	if err != nil {
		return virerr.New(libvirt.ErrInternalError, "cannot listen to the kernel: %w", err)
	}
	g.held.notify = notify
	g.state.Facts.Mconsole, g.state.Facts.ReplyDir = g.spec.mconsole(), g.spec.uml()
	if g.spec.User == nil {
		return nil
	}
	for _, name := range []string{socket, g.spec.uml()} {
		if err := os.Chown(name, g.spec.User.UID, g.spec.User.GID); err != nil {
			return fileError("give to the guest's user", name, err)
		}
	}
	return nil
}

// giveFiles makes the files that ask for it the guest's user's, if the guest
// has a user of its own.
func giveFiles(owners *dac.Ledger, spec *Spec, files []File) error {
	if owners == nil {
		return nil
	}
	var given []dac.File
	for _, file := range files {
		if file.Own {
			given = append(given, dac.File{Path: file.Host, Write: !file.ReadOnly})
		}
	}
	if err := owners.Give(spec.Dir, dac.User(*spec.User), given); err != nil {
		return virerr.New(libvirt.ErrOperationFailed, "cannot give the guest its files: %w", err)
	}
	return nil
}

func (g *guest) openLines() error {
	g.state.Facts.PTYs = make(map[string]string)
	for _, channel := range g.spec.Channels {
		line, err := console.Open(channel.Line, channel.Chardev, lenient{g.held.log}, g.lineSpoke)
		if err != nil {
			return err
		}
		g.held.lines = append(g.held.lines, line)
		if pty := line.PTY(); pty != "" {
			g.state.Facts.PTYs[channel.Line] = pty
		}
	}
	return nil
}

// lineSpoke is called by the lines' own goroutines.
func (g *guest) lineSpoke() {
	select {
	case g.spoke <- struct{}{}:
	default:
	}
}

// release gives everything back but the consoles and the log.
func (g *guest) release() {
	if g.held.nics != nil {
		g.held.nics.End()
	}
	g.closeVirtio()
	if g.held.notify != nil {
		_ = g.held.notify.Close() // its folder goes anyway
	}
	if g.held.owners != nil {
		if err := g.held.owners.Return(g.spec.Dir); err != nil {
			g.log("%v", err)
		}
	}
	g.unlockAll()
	if g.held.entry != nil {
		if err := g.held.entry.remove(); err != nil {
			g.log("%v", err)
		}
	}
}

// closeConsoles lets readers take the rest, then ends the lines and the log.
func (g *guest) closeConsoles() {
	for _, line := range g.held.lines {
		line.Settle(settleTime)
	}
	for _, line := range g.held.lines {
		line.Close()
	}
	if g.held.log != nil {
		g.held.log.Close()
	}
}

// tails are the ends of all that this boot's kernel has said.
func (g *guest) tails() [][]byte {
	var tails [][]byte
	for _, line := range g.held.lines {
		tails = append(tails, line.Tail())
	}
	return append(tails, g.held.output.Bytes())
}

// consoleTail is the end of the first line, the system console as a rule.
func (g *guest) consoleTail() []byte {
	if len(g.held.lines) == 0 {
		return nil
	}
	return g.held.lines[0].Tail()
}

// ownMconsole says whether the kernel's name of its mconsole socket is that of
// this guest's umid.
func (g *guest) ownMconsole(name string) bool {
	return path.Base(path.Dir(name)) == g.spec.UMID
}

// log writes one line to the guest's log.
func (g *guest) log(format string, args ...any) {
	if g.held.log != nil {
		text := fmt.Sprintf(format, args...)
		_, _ = fmt.Fprintf(g.held.log, "%s: %s\n", stamp(), text)
	}
}

func (g *guest) logHeader(plan *contain.Plan) {
	g.log("starting domain '%s', uuid %s", g.spec.Name, g.spec.UUID)
	_, _ = fmt.Fprintf(g.held.log, "%s \\\n%s\n", strings.Join(plan.Env, " "), strings.Join(plan.Args, " \\\n"))
}

// stamp is the time as libvirt's guest logs write it.
func stamp() string { return time.Now().UTC().Format("2006-01-02 15:04:05.000-0700") }

// tell reports an event to the daemon.
func (g *guest) tell(e Event) {
	facts := g.state.Facts
	g.hub.tell(report{Event: &e, Facts: &facts})
}

// tellFacts reports a change that is no event.
func (g *guest) tellFacts() {
	facts := g.state.Facts
	g.hub.tell(report{Facts: &facts})
}

// save writes state.json.
func (g *guest) save() {
	if err := rundir.WriteJSON(g.spec.Dir, stateFile, g.state); err != nil {
		g.log("cannot write the state: %v", err)
	}
}
