package testkit

import (
	"context"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Terminal is a program on a pseudo-terminal, with a test at its keyboard.
type Terminal struct {
	t      testing.TB
	master *os.File
	cmd    *exec.Cmd
	exited chan struct{} // closed when the program has ended and all is read

	mu      sync.Mutex    // guards what follows
	output  []byte        // what Expect has not consumed
	changed chan struct{} // closed and replaced when output grows
}

// Console runs "virsh console" with args on a terminal.
func (d *Daemon) Console(args ...string) *Terminal {
	d.t.Helper()
	return d.Terminal("virsh", append([]string{"--connect", d.URI, "console"}, args...)...)
}

// Terminal runs a program, as the daemon's user, on a terminal.
func (d *Daemon) Terminal(name string, args ...string) *Terminal {
	d.t.Helper()
	master, slave := openPTY(d.t)
	defer slave.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := d.command(ctx, name, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr.Setsid, cmd.SysProcAttr.Setctty = true, true
	term := &Terminal{t: d.t, master: master, cmd: cmd, exited: make(chan struct{}), changed: make(chan struct{})}
	if err := cmd.Start(); err != nil {
		cancel()
		d.t.Fatal(err)
	}
	go term.read()
	d.t.Cleanup(func() {
		cancel()
		<-term.exited
		master.Close()
	})
	return term
}

// openPTY makes a pseudo-terminal (pts(4)).
func openPTY(t testing.TB) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fd := int(master.Fd())
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 200})
	}
	if err == nil {
		slave, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	return master, slave
}

// read collects the output until the last user of the terminal has gone.
func (term *Terminal) read() {
	defer close(term.exited)
	buf := make([]byte, 64<<10)
	for {
		n, err := term.master.Read(buf)
		term.mu.Lock()
		term.output = append(term.output, buf[:n]...)
		close(term.changed)
		term.changed = make(chan struct{})
		term.mu.Unlock()
		if err != nil {
			break // EIO: nobody has the other end open
		}
	}
	term.cmd.Wait()
}

// Send types text.
func (term *Terminal) Send(text string) {
	term.t.Helper()
	if _, err := term.master.WriteString(text); err != nil {
		term.t.Fatal("cannot type:", err)
	}
}

// Expect waits for output that matches the regular expression, consumes
// everything up to its end, and returns the match and its groups.
func (term *Terminal) Expect(pattern string) []string {
	term.t.Helper()
	expression := regexp.MustCompile(pattern)
	deadline := time.After(Patience)
	ended := false
	for {
		found, rest, changed := term.match(expression)
		if found != nil {
			return found
		}
		if ended {
			term.t.Fatalf("%v ended without printing %q; it printed:\n%s", term.cmd.Args, pattern, tail(rest))
		}
		select {
		case <-changed:
		case <-term.exited:
			ended = true // one more look at what came last
		case <-deadline:
			term.t.Fatalf("%v has not printed %q in %v; it printed:\n%s", term.cmd.Args, pattern, Patience, tail(rest))
		}
	}
}

// tail is as much of the output as is of use in a failure.
func tail(output []byte) []byte { return output[max(0, len(output)-2000):] }

func (term *Terminal) match(expression *regexp.Regexp) (found []string, rest []byte, changed <-chan struct{}) {
	term.mu.Lock()
	defer term.mu.Unlock()
	where := expression.FindSubmatchIndex(term.output)
	if where == nil {
		return nil, term.output, term.changed
	}
	for i := 0; i < len(where); i += 2 {
		group := ""
		if where[i] >= 0 {
			group = string(term.output[where[i]:where[i+1]])
		}
		found = append(found, group)
	}
	term.output = term.output[where[1]:]
	return found, nil, nil
}

// Knock presses Enter until the guest's shell answers with its prompt. virsh
// console drops what is typed before it has set up the terminal, and does not
// say when it has.
func (term *Terminal) Knock() {
	term.t.Helper()
	prompt := regexp.MustCompile(Prompt)
	for deadline := time.Now().Add(Patience); time.Now().Before(deadline); {
		term.Send("\r")
		answer := time.After(300 * time.Millisecond)
		for waiting := true; waiting; {
			found, _, changed := term.match(prompt)
			if found != nil {
				return
			}
			select {
			case <-changed:
			case <-answer:
				waiting = false
			}
		}
	}
	term.Expect(Prompt) // fails, with what was printed
}

// EscapeKey is the key that leaves virsh console: Ctrl-].
const EscapeKey = "\x1d"

// Leave leaves virsh console with its escape key and returns when it has ended.
// virsh looks for the key at the beginning of what it reads only, so what was
// typed before must have been answered: Expect something first.
func (term *Terminal) Leave() {
	term.t.Helper()
	term.Send(EscapeKey)
	term.Wait()
}

// Wait waits for the program to end and returns its exit code, -1 when a
// signal has ended it.
func (term *Terminal) Wait() int {
	term.t.Helper()
	select {
	case <-term.exited:
	case <-time.After(Patience):
		term.t.Fatalf("%v has not ended in %v", term.cmd.Args, Patience)
	}
	return term.cmd.ProcessState.ExitCode()
}

// Kill ends the program with SIGKILL, as a client that dies.
func (term *Terminal) Kill() {
	term.t.Helper()
	if err := term.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		term.t.Error(err)
	}
	term.Wait()
}
