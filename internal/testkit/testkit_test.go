package testkit

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

func TestMain(m *testing.M) { os.Exit(Main(m)) }

func TestTerminal(t *testing.T) {
	for _, id := range Identities {
		t.Run(string(id), func(t *testing.T) {
			d := prepare(t, id)
			defer os.RemoveAll(d.Dir)
			term := d.Terminal("sh", "-c", `tty; read -r word; echo "<$word> $HOME"; id -un; exit 3`)
			term.Expect(`/dev/pts/\d+`)
			term.Send("hello\n")
			if got := term.Expect(`<(\w+)> (\S+)`); got[1] != "hello" || got[2] != d.Dir {
				t.Errorf("the program read %q, with HOME %q", got[1], got[2])
			}
			term.Expect(d.account.name + "\r?\n")
			if code := term.Wait(); code != 3 {
				t.Errorf("exit code %d, want 3", code)
			}
		})
	}
}

func TestDescendants(t *testing.T) {
	cmd := exec.Command("sh", "-c", "sleep 1000 & echo; wait")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	// The shell is gone; its child has come to this process.
	left := killLeftovers()
	if !strings.Contains(left, "sleep 1000") {
		t.Errorf("leftovers: %q, want the sleep", left)
	}
	if left := killLeftovers(); left != "" {
		t.Errorf("after killing: %q", left)
	}
}

func TestRootfs(t *testing.T) {
	d := prepare(t, User)
	defer os.RemoveAll(d.Dir)
	first, second := d.Rootfs("a.img"), d.Rootfs("b.img")
	for _, path := range []string{first, second} {
		out, err := exec.Command("/sbin/debugfs", "-R", "cat /etc/profile", path).Output()
		if err != nil || !strings.Contains(string(out), ShellReady) {
			t.Errorf("%s: /etc/profile is %q (%v), want it to print %q", path, out, err, ShellReady)
		}
	}
}
