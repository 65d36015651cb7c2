// Package lab does what the documentation of the network lab says
// (examples/lab), with stock virsh, as root and as an ordinary user.
package lab

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"virtumld/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

// A block is code of the README: commands for a shell of the host (sh) or of
// the guest that it is called after.
var block = regexp.MustCompile("(?ms)^```([a-z]+)\n(.*?)^```$")

func TestReadme(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		folder := copyLab(t, d)
		text, err := os.ReadFile(filepath.Join(folder, "README.md"))
		if err != nil {
			t.Fatal(err)
		}
		d.SetEnv("LIBVIRT_DEFAULT_URI", d.URI)
		l := lab{t: t, d: d, folder: folder, shells: map[string]*testkit.Shell{}}
		t.Cleanup(l.cleanUp)
		var alice []string
		for _, found := range block.FindAllStringSubmatch(string(text), -1) {
			output := l.do(found[1], found[2])
			if found[1] == "alice" {
				alice = append(alice, output)
			}
		}
		if len(alice) != 3 || !strings.Contains(alice[0], "Hello from Bob.") || !strings.Contains(alice[0], "3 packets received") {
			t.Fatalf("alice says %q", alice)
		}
		if fastest := roundTrip(t, alice[1]); fastest < 40 {
			t.Errorf("the fastest ping over a link with a delay of 20 ms each way took %v ms", fastest)
		}
		if !strings.Contains(alice[2], " 0 packets received") {
			t.Errorf("with a loss of 1: %s", alice[2])
		}
		if left := d.Lines("list", "--all", "--name"); len(left) > 0 {
			t.Errorf("the domains %q are left", left)
		}
	})
}

// roundTrip is the least time of busybox' ping in milliseconds.
func roundTrip(t *testing.T, output string) float64 {
	t.Helper()
	found := regexp.MustCompile(`min/avg/max = ([0-9.]+)/`).FindStringSubmatch(output)
	if found == nil {
		t.Fatalf("ping says %s", output)
	}
	ms, err := strconv.ParseFloat(found[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return ms
}

type lab struct {
	t      *testing.T
	d      *testkit.Daemon
	folder string
	shells map[string]*testkit.Shell
}

// do carries a block out and returns its output.
func (l *lab) do(where, commands string) string {
	l.t.Helper()
	if where == "sh" {
		r := l.d.Run("sh", "-ec", `cd "$0"; export HOME="$1"; eval "$2"`, l.folder, l.d.Dir, commands)
		if r.Code != 0 {
			l.t.Fatalf("%s\nfails (%d): %s%s", commands, r.Code, r.Stdout, r.Stderr)
		}
		return r.Stdout
	}
	shell := l.shells[where]
	if shell == nil {
		shell = l.d.Shell(where)
		l.shells[where] = shell
	}
	var output strings.Builder
	for command := range strings.Lines(commands) {
		output.WriteString(shell.Run(strings.TrimSpace(command)) + "\n")
	}
	return output.String()
}

// cleanUp ends what a test that fails leaves.
func (l *lab) cleanUp() {
	for _, name := range []string{"alice", "router", "bob"} {
		if l.d.Running() {
			l.d.Virsh("destroy", name) // fails when it does not run
		}
	}
}

// copyLab puts the folder of the lab, and the script beside it, where the
// daemon's user may read it.
func copyLab(t *testing.T, d *testkit.Daemon) string {
	t.Helper()
	source := filepath.Join(d.Dir, "source")
	for _, folder := range []string{"examples/lab", "scripts"} {
		to := filepath.Join(source, filepath.Dir(folder))
		out, err := exec.Command("sh", "-ec", `mkdir -p "$2"; cp -r "$1" "$2"; chmod -R go+rX "$3"`,
			"sh", filepath.Join(testkit.Module(t), folder), to, source).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	return filepath.Join(source, "examples/lab")
}
