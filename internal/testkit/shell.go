package testkit

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// Talker is a line with a shell at its other end: a Terminal or a Line.
type Talker interface {
	Send(text string)
	Expect(pattern string) []string
}

// Shell runs commands in a guest.
type Shell struct {
	Talker
	t     testing.TB
	count int
}

// Shell waits for the prompt of a running guest on its console, or on the line
// that args name as virsh console does.
func (d *Daemon) Shell(name string, args ...string) *Shell {
	d.t.Helper()
	s := d.ShellOn(d.Console(append([]string{name}, args...)...))
	s.Expect(Prompt)
	return s
}

// ShellOn runs commands over a line of one's own.
func (d *Daemon) ShellOn(line Talker) *Shell { return &Shell{Talker: line, t: d.t} }

// Try runs a command in the guest and returns its output and exit status.
func (s *Shell) Try(command string) (output string, status int) {
	s.t.Helper()
	s.count++
	// The echo of the command holds the marks with their number in $(()).
	s.Send(fmt.Sprintf("echo; echo begin-$((%d)); { %s\n} 2>&1; s=$?; echo; echo end-$((%d))=$s.\n", s.count, command, s.count))
	found := s.Expect(fmt.Sprintf(`begin-%d\r?\n((?s:.*?))\r?\nend-%d=(\d+)\.`, s.count, s.count))
	status, err := strconv.Atoi(found[2])
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.TrimRight(strings.ReplaceAll(found[1], "\r\n", "\n"), "\r\n"), status
}

// Run is Try for a command that must succeed.
func (s *Shell) Run(command string) string {
	s.t.Helper()
	output, status := s.Try(command)
	if status != 0 {
		s.t.Fatalf("in the guest, %q failed (%d):\n%s", command, status, output)
	}
	return output
}

// Fail runs a command that must fail, and returns what it said.
func (s *Shell) Fail(command string) string {
	s.t.Helper()
	output, status := s.Try(command)
	if status == 0 {
		s.t.Errorf("in the guest, %q succeeded, want it to fail:\n%s", command, output)
	}
	return output
}
