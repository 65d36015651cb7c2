package supervisor

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestOutcome(t *testing.T) {
	exit := func(status int) unix.WaitStatus { return unix.WaitStatus(status << 8) }
	signal := func(sig unix.Signal) unix.WaitStatus { return unix.WaitStatus(sig) }
	said := func(text string) [][]byte { return [][]byte{[]byte(text), nil} }
	cases := map[string]struct {
		ending ending
		want   outcome
	}{
		"halt":              {ending{ready: true, tails: said("x\nreboot: System halted\n")}, poweredOff},
		"poweroff":          {ending{ready: true, tails: said("\r\n[   12.345678] reboot: Power down\r\n")}, poweredOff},
		"reboot":            {ending{ready: true, tails: said("[    1.0] reboot: Restarting system\n")}, rebooted},
		"reboot elsewhere":  {ending{ready: true, tails: [][]byte{nil, []byte("reboot: Restarting system\n")}}, rebooted},
		"mconsole halt":     {ending{ready: true}, poweredOff},
		"mconsole reboot":   {ending{ready: true, intent: IntentReboot}, rebooted},
		"asked to shut":     {ending{ready: true, intent: IntentShutdown, tails: said("reboot: Restarting system\n")}, poweredOff},
		"exitcode":          {ending{ready: true, status: exit(3), tails: said("reboot: Power down\n")}, poweredOff},
		"exitcode 127":      {ending{ready: true, status: exit(127), tails: said("reboot: Power down\n")}, poweredOff},
		"quoted":            {ending{ready: true, tails: said("he said: reboot: Restarting system\n")}, poweredOff},
		"panic":             {ending{ready: true, status: exit(127), panicked: "oops"}, crashed},
		"panic, killed":     {ending{ready: true, status: signal(unix.SIGKILL), panicked: "oops"}, crashed},
		"abort":             {ending{ready: true, status: signal(unix.SIGABRT)}, crashed},
		"abort as init":     {ending{ready: true, status: exit(127)}, crashed},
		"segmentation":      {ending{ready: true, status: signal(unix.SIGSEGV)}, crashed},
		"abort at the end":  {ending{ready: true, status: signal(unix.SIGSEGV), tails: said("reboot: Power down\n")}, poweredOff},
		"abort at a reboot": {ending{ready: true, status: signal(unix.SIGABRT), tails: said("reboot: Restarting system\n")}, rebooted},
		"killed":            {ending{ready: true, status: signal(unix.SIGKILL)}, failed},
		"terminated":        {ending{ready: true, status: exit(1)}, failed},
		"asked to end":      {ending{ready: true, status: exit(1), terminated: true}, ended},
		"asked before boot": {ending{status: signal(unix.SIGTERM), terminated: true}, ended},
		"asked in vain":     {ending{ready: true, tails: said("reboot: Power down\n"), terminated: true}, poweredOff},
		"never ready":       {ending{status: exit(0)}, failed},
		"never ready panic": {ending{status: exit(127), panicked: "oops"}, failed},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got, text := c.ending.read(); got != c.want || text == "" {
				t.Errorf("got %d, %q; want %d", got, text, c.want)
			}
		})
	}
}

func TestPanicText(t *testing.T) {
	got := panicText([][]byte{nil, []byte("x\n[ 1.5] Kernel panic - not syncing: VFS: no root\r\nCPU: 0\n")})
	if got != "VFS: no root" {
		t.Errorf("got %q", got)
	}
}

func TestLastWordsOfAPanic(t *testing.T) {
	output := "<3>Bus error - no space\n<0>Kernel panic - not syncing: Kernel mode signal 7\n<4>Stack:\n" + strings.Repeat("<4> [<60030b5a>] ? f+0x0/0x43\n", 20)
	if got, want := lastWords([]byte(output), nil), "<3>Bus error - no space\n<0>Kernel panic - not syncing: Kernel mode signal 7"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLastWordsOf(t *testing.T) {
	output := "Core dump limits :\n\tsoft - 0\n\thard - NONE\nChecking that ptrace...OK\nToo few physical memory! Needed=1, given=0\n\n"
	if got, want := lastWords([]byte(output), []byte("\x1b[1mhello\r\n")), "Too few physical memory! Needed=1, given=0\n[1mhello"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestBackoff(t *testing.T) {
	var b backoff
	var got []time.Duration
	for range 8 {
		got = append(got, b.after(time.Second))
	}
	want := []time.Duration{0, 1e9, 2e9, 4e9, 8e9, 16e9, 30e9, 30e9}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("wait %d: %v, want %v", i, got[i], want[i])
		}
	}
	if got := b.after(time.Minute); got != 0 {
		t.Errorf("after a steady boot: %v", got)
	}
	for range 100 {
		b.after(0)
	}
	if got := b.after(0); got != longestWait {
		t.Errorf("after many failures: %v", got)
	}
}
