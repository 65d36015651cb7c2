package guestinit

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"virtumld/internal/guestinit/link"
)

// Path is where this program stands in an image, as the kernel's init=.
const Path = "/.virtuml/init"

// Main is the whole life of the guest; it does not return.
func Main() {
	setup := mountSystem()
	disk, spec, err := openDisk()
	if errors.Is(err, errNotSpec) {
		alone(setup)
	}
	var console *os.File
	if err == nil {
		console, err = openConsole()
	}
	if err != nil {
		fail(errors.Join(err, setup))
	}
	quiet()
	g := newGuest(console, spec)
	g.link.word(link.Begin)
	result := g.run()
	if err := writeResult(disk, result); err != nil {
		fmt.Fprintln(os.Stderr, "virtuml init: cannot write the result:", err)
	}
	g.link.word(link.End)
	_ = unix.IoctlSetInt(int(console.Fd()), unix.TCSBRK, 1) // tcdrain(3)
	powerOff(spec.Discard)
}

// fail ends a guest that cannot be what it is meant to be.
func fail(err error) {
	fmt.Fprintln(os.Stderr, "virtuml init:", err)
	powerOff(false)
}

// openConsole opens the first console, raw. It is nobody's controlling
// terminal.
func openConsole() (*os.File, error) {
	console, err := os.OpenFile("/dev/tty0", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	return console, makeRaw(int(console.Fd()))
}

// guest is the one command of a guest.
type guest struct {
	spec    Spec
	console *os.File
	link    *sender
	input   *queue
	alone   bool // nobody serves the console: it is the command's own

	mu     sync.Mutex // guards all below
	pid    int        // the command's, 0 while there is none
	master *os.File   // its terminal, or nil
}

func newGuest(console *os.File, spec Spec) *guest {
	return &guest{
		spec:    spec,
		console: console,
		link:    newSender(console, link.NewWindow(link.Output, spec.Attached)),
		input:   newQueue(),
	}
}

// run prepares the guest, runs the command and returns how it has ended.
func (g *guest) run() Result {
	loopback()
	if err := errors.Join(setHostname(g.spec.Hostname), mountShares(g.spec.Mounts)); err != nil {
		return Result{Exit: exitNotExecutable, Error: err.Error()}
	}
	if err := network(); err != nil {
		g.warn(err)
	}
	image, err := readImage(ImageFile)
	if err != nil {
		return Result{Exit: exitNotExecutable, Error: err.Error()}
	}
	c := merge(g.spec, image)
	program, status, err := c.find()
	if err != nil {
		return Result{Exit: status, Error: err.Error()}
	}
	who, err := resolve(c.user, readText("/etc/passwd"), readText("/etc/group"))
	if err != nil {
		return Result{Exit: exitNotExecutable, Error: err.Error()}
	}
	if lookup(c.env, "HOME") == "" {
		c.env = append(c.env, "HOME="+who.home)
	}
	if err := os.MkdirAll(c.workdir, 0o755); err != nil {
		return Result{Exit: exitNotExecutable, Error: "cannot make the working folder: " + err.Error()}
	}
	result, err := g.execute(program, c, who)
	if err != nil {
		return Result{Exit: exitNotExecutable, Error: err.Error()}
	}
	return result
}

// warn says on the command's standard error what is wrong but lets it run.
func (g *guest) warn(err error) {
	text := "virtuml init: " + err.Error() + "\n"
	if g.alone {
		os.Stderr.WriteString(text)
		return
	}
	g.link.send(link.Stderr, []byte(text))
}

// execute starts program, serves it and waits for its end.
func (g *guest) execute(program string, c command, who account) (Result, error) {
	streams, err := g.streams(who)
	if err != nil {
		return Result{}, err
	}
	attributes := &syscall.ProcAttr{
		Dir: c.workdir, Env: c.env,
		Files: []uintptr{streams.child[0].Fd(), streams.child[1].Fd(), streams.child[2].Fd()},
		Sys: &syscall.SysProcAttr{
			Setsid: true, Setctty: g.spec.Terminal || g.alone,
			Credential: &syscall.Credential{Uid: who.uid, Gid: who.gid, Groups: who.groups},
		},
	}
	pid, err := syscall.ForkExec(program, c.argv, attributes)
	streams.closeChild()
	if err != nil {
		return Result{}, fmt.Errorf("cannot execute %s: %w", program, err)
	}
	g.started(pid, streams.master)
	g.forwardSignals()
	done := streams.serve(g)
	status := reap(pid)
	_ = unix.Kill(-1, unix.SIGKILL) // the rest holds the streams open
	done.Wait()
	if status.Signaled() {
		return Result{Signal: int(status.Signal())}, nil
	}
	return Result{Exit: status.ExitStatus()}, nil
}

// reap waits for every process that ends, whose parent pid 1 has become, until
// the command's has.
func reap(command int) unix.WaitStatus {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return 0 // ECHILD: cannot be, the command is a child
		case pid == command:
			return status
		}
	}
}

func (g *guest) started(pid int, master *os.File) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pid, g.master = pid, master
}

// signal passes a signal on to the command.
func (g *guest) signal(s unix.Signal) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.pid > 0 {
		_ = unix.Kill(g.pid, s)
	}
}

func (g *guest) resized(rows, columns uint16) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.master != nil {
		resize(int(g.master.Fd()), rows, columns)
	}
}

// forwardSignals makes a shutdown of the host's, by control-alt-delete, a
// SIGTERM for the command, as it is for a container.
func (g *guest) forwardSignals() {
	// Control-alt-delete reaches pid 1 as SIGINT from here on.
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_CAD_OFF)
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGPWR)
	go func() {
		for range signals {
			if g.alone {
				endAll()
			} else {
				g.signal(unix.SIGTERM)
			}
		}
	}()
}

// streams are the command's standard streams: child are its ends, the others
// ours.
type streams struct {
	child          [3]*os.File
	stdin          *os.File
	stdout, stderr *os.File // stderr is nil with a terminal
	master         *os.File
}

func (g *guest) streams(who account) (*streams, error) {
	if g.alone {
		return &streams{child: [3]*os.File{g.console, g.console, g.console}}, nil
	}
	if g.spec.Terminal {
		master, slave, err := openTerminal(g.spec.Rows, g.spec.Columns)
		if err != nil {
			return nil, err
		}
		_ = slave.Chown(int(who.uid), -1)
		return &streams{child: [3]*os.File{slave, slave, slave}, stdin: master, stdout: master, master: master}, nil
	}
	var s streams
	var errs [3]error
	s.child[0], s.stdin, errs[0] = os.Pipe()
	s.stdout, s.child[1], errs[1] = os.Pipe()
	s.stderr, s.child[2], errs[2] = os.Pipe()
	for _, f := range s.child {
		if f != nil { // programs open /dev/stdout as who they are
			_ = f.Chown(int(who.uid), -1)
		}
	}
	return &s, errors.Join(errs[:]...)
}

func (s *streams) closeChild() {
	for _, f := range s.child {
		f.Close() // a terminal is the same three times
	}
}

// serve passes the streams on. The group is done when all output was sent; the
// input is served until the guest ends.
func (s *streams) serve(g *guest) *sync.WaitGroup {
	if g.alone {
		return &sync.WaitGroup{}
	}
	r := &receiver{sender: g.link, input: g.input, resized: g.resized, signal: g.signal}
	go r.run(g.console)
	if s.master != nil {
		go g.input.feed(typed{s.stdin}, g.link)
	} else {
		go g.input.feed(s.stdin, g.link)
	}
	var done sync.WaitGroup
	done.Go(func() { g.link.copyFrom(link.Stdout, s.stdout) })
	if s.stderr != nil {
		done.Go(func() { g.link.copyFrom(link.Stderr, s.stderr) })
	}
	return &done
}
