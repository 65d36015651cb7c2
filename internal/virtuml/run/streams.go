package run

import (
	"os"

	"golang.org/x/term"
)

// streams are this process's own.
type streams struct {
	stdin, stdout, stderr *os.File
	// terminal says that the command gets a terminal.
	terminal bool
}

// hostStreams looks at the standard streams. The command gets a terminal when
// the user asks for one or has one.
func hostStreams(wanted bool) streams {
	s := streams{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr}
	s.terminal = wanted || term.IsTerminal(int(s.stdin.Fd())) && term.IsTerminal(int(s.stdout.Fd()))
	return s
}

// size is the terminal's, 0 when it has none.
func (s streams) size() (rows, columns uint16) {
	c, r, err := term.GetSize(int(s.stdout.Fd()))
	if err != nil || r < 0 || c < 0 || r > 0xffff || c > 0xffff {
		return 0, 0
	}
	return uint16(r), uint16(c)
}

// raw lets every key through to the guest. The returned function puts the
// terminal back as it was; it may be called more than once.
func (s streams) raw() (restore func(), err error) {
	fd := int(s.stdin.Fd())
	if !s.terminal || !term.IsTerminal(fd) {
		return func() {}, nil
	}
	old, err := term.MakeRaw(fd)
	if err != nil {
		return func() {}, err
	}
	return func() { _ = term.Restore(fd, old) }, nil
}
