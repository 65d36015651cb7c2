package supervisor

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"

	"golang.org/x/sys/unix"

	"virtumld/internal/supervisor/contain"
)

// The causes of an Exit, those of package domain.
const (
	causeShutdown  = "shutdown"
	causeDestroyed = "destroyed"
	causeCrashed   = "crashed"
	causeFailed    = "failed"
)

// ending is what is known when a kernel has ended.
type ending struct {
	status unix.WaitStatus
	// ready says that this boot's kernel had reported ready.
	ready bool
	// panicked is the kernel's panic message.
	panicked string
	// tails are the ends of the channels and of the kernel's own output.
	tails  [][]byte
	intent Intent
	// terminated says that the host has sent SIGTERM to the kernel, which
	// may be long ago: a busy one need not heed it.
	terminated bool
}

// outcome is what an ending means for the guest, before its lifecycle actions.
type outcome int

const (
	// poweredOff, rebooted and crashed are the guest's own doing.
	poweredOff outcome = iota + 1
	rebooted
	crashed
	// failed: it never came up, or was killed from outside.
	failed
	// ended: it did what the host asked for with SIGTERM.
	ended
)

// read judges an ending (table in arch/um: halt and poweroff exit with 0, as
// does a restart under noreboot; a panic aborts; configuration errors exit
// with 1, and so does a SIGTERM). One that dies in its own clean-up has ended as
// its last words say: since 6.15 that needs a library (package kernel's
// unwinder) which a host may lack.
func (e ending) read() (outcome, string) {
	words := describe(e.status)
	switch last := lastReboot(e.tails); {
	case e.terminated && last == "" && e.panicked == "":
		return ended, "terminated"
	case !e.ready:
		return failed, "the kernel ended before it was ready: " + words
	case e.panicked != "":
		return crashed, "kernel panic: " + e.panicked
	case aborted(e.status) && last == "":
		return crashed, "the kernel died: " + words
	case e.status.Signaled() && !aborted(e.status):
		return failed, "the kernel was " + words
	case last == "" && e.status.ExitStatus() != 0:
		return failed, "the kernel ended: " + words
	case e.intent == IntentShutdown:
		return poweredOff, "shut down"
	case last == "Restarting system" || e.intent == IntentReboot:
		return rebooted, "rebooted"
	default:
		return poweredOff, "powered off"
	}
}

// aborted tells ends that a broken kernel brings upon itself. glibc's abort
// ends in a SIGSEGV where SIGABRT has no effect, as for the first process of a
// pid namespace.
func aborted(status unix.WaitStatus) bool {
	switch status.Signal() {
	case unix.SIGABRT, unix.SIGSEGV, unix.SIGBUS, unix.SIGILL, unix.SIGFPE, unix.SIGTRAP, unix.SIGSYS:
		return true
	}
	return status.Exited() && status.ExitStatus() == contain.ExitAborted
}

func describe(status unix.WaitStatus) string {
	if status.Signaled() {
		return fmt.Sprintf("killed by signal %d (%s)", status.Signal(), unix.SignalName(status.Signal()))
	}
	return fmt.Sprintf("exit status %d", status.ExitStatus())
}

// rebootLine is how a kernel says goodbye (kernel/reboot.c), with or without
// the time in front. printk puts it at the start of a line.
var rebootLine = regexp.MustCompile(`(?m)^(?:<\d>)?(?:\[ *\d+\.\d+\] )?reboot: (Restarting system|Power down|System halted)`)

// lastReboot finds the last goodbye on any channel, "" without one.
func lastReboot(tails [][]byte) string {
	for _, tail := range tails {
		all := rebootLine.FindAllSubmatch(tail, -1)
		if len(all) > 0 {
			return string(all[len(all)-1][1])
		}
	}
	return ""
}

// panicWords begin the message of a panic (kernel/panic.c), panicLine is the
// whole message on a console.
const panicWords = "Kernel panic - not syncing: "

var panicLine = regexp.MustCompile(panicWords + `([^\r\n]+)`)

func panicText(tails [][]byte) string {
	for _, tail := range tails {
		if m := panicLine.FindSubmatch(tail); m != nil {
			return strings.TrimSpace(string(m[1]))
		}
	}
	return ""
}

// wordLines is how many lines of each kind a failed start reports.
const wordLines = 6

// lastWords joins the ends of a kernel's own output and of its console into
// what a person needs to understand a failed start. The checks that a kernel
// reports as passed say nothing, nor does the stack after a panic's message.
func lastWords(output, console []byte) string {
	lines := append(endOf(output), endOf(console)...)
	return strings.Join(lines, "\n")
}

func endOf(text []byte) []string {
	var lines []string
	for line := range strings.Lines(string(text)) {
		line = strings.Map(printable, strings.TrimSpace(line))
		if line == "" || strings.HasSuffix(line, "...OK") || strings.HasPrefix(line, "Core dump limits") ||
			strings.HasPrefix(strings.TrimLeft(line, "\t "), "soft - ") || strings.HasPrefix(line, "hard - ") {
			continue
		}
		lines = append(lines, line)
		if strings.Contains(line, panicWords) {
			break
		}
	}
	return lines[max(0, len(lines)-wordLines):]
}

func printable(r rune) rune {
	if r == '\t' || unicode.IsPrint(r) {
		return r
	}
	return -1
}
