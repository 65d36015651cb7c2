package supervisor_test

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"virtumld/internal/domxml"
	"virtumld/internal/supervisor"
)

// A console that nobody reads does not stall the guest, and a client that
// comes later, again and again, finds the newest output.
func TestConsole(t *testing.T) {
	t.Parallel()
	spec := newSpec(t, `
echo GUEST UP
while read x; do case $x in
flood) seq 1 200000; echo FLOODED > /dev/ttyS0;;
*) echo "you said $x";;
esac; done`)
	log := filepath.Join(filepath.Dir(spec.LogFile), "ssl0")
	spec.Channels = append(spec.Channels,
		supervisor.Channel{Line: "ssl0", Chardev: domxml.Chardev{Type: domxml.ChardevPTY, LogFile: log}})
	spec.Args = append(spec.Args, "ssl0=fd:4")
	g := start(t, spec)
	g.await(supervisor.Ready)
	serial := openConsole(t, g.Facts().PTYs["ssl0"])
	c := g.console()
	c.until("GUEST UP")
	for range 3 {
		c.Close()
		c = g.console()
		c.say("hello\n")
		c.until("you said hello")
	}
	c.say("flood\n")
	c.Close()
	serial.until("FLOODED") // with nobody at the console
	c = g.console()
	c.until("199999")
	c.until("200000")
	c.say("hello\n")
	c.until("you said hello")
	g.must(g.Kill(g.ctx()))
	text, err := os.ReadFile(log)
	g.must(err)
	if !bytes.Contains(text, []byte("FLOODED")) {
		t.Errorf("the line's log holds %q", text)
	}
}

// Stock uml_mconsole reaches a guest in a network namespace of its own.
func TestUMLMconsole(t *testing.T) {
	t.Parallel()
	tool, err := exec.LookPath("uml_mconsole")
	if err != nil {
		t.Fatalf("the package uml-utilities is missing: %v", err)
	}
	bothWays(t, func(t *testing.T, contain bool) {
		spec := newSpec(t, rebooter)
		spec.Contain = contain
		g := start(t, spec)
		g.await(supervisor.Ready)
		cmd := exec.CommandContext(g.ctx(), tool, filepath.Join(spec.UMLDir, spec.UMID, "mconsole"), "version")
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "OK Linux") {
			t.Errorf("uml_mconsole: %v: %s", err, out)
		}
	})
}

// A kernel without mconsole is ready when it speaks.
func TestNoMconsole(t *testing.T) {
	t.Parallel()
	spec := newSpec(t, `echo GUEST UP; read x; poweroff -f`)
	spec.NoMconsole = true
	spec.Args = deleteArg(spec.Args, "mconsole=")
	g := start(t, spec)
	g.await(supervisor.Ready)
	c := g.console()
	c.until("GUEST UP")
	c.say("\n")
	g.awaitExit("shutdown")
}

// A hand-made guest of the same umid is left alone, a dead one is no obstacle.
func TestForeignUMID(t *testing.T) {
	t.Parallel()
	spec := newSpec(t, `echo GUEST UP; read x`)
	dir := filepath.Join(spec.UMLDir, spec.UMID)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "mconsole"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := supervisor.Start(t.Context(), "/proc/self/exe", spec); err == nil || !strings.Contains(err.Error(), "umid 'demo'") {
		t.Fatalf("Start: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "mconsole")); err != nil {
		t.Fatalf("the foreign guest's socket: %v", err)
	}
	socket.Close()
	writeFile(t, filepath.Join(dir, "pid"), "1\n", 0o644)
	g := start(t, spec)
	g.await(supervisor.Ready)
}
