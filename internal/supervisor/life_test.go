package supervisor_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"
	"golang.org/x/sys/unix"

	"virtumld/internal/domxml"
	"virtumld/internal/supervisor"
	"virtumld/internal/virerr"
)

func TestPoweroff(t *testing.T) {
	t.Parallel()
	g := start(t, newSpec(t, `echo GUEST UP; read x; poweroff -f`))
	if !g.Facts().Contained {
		t.Error("the guest is not contained")
	}
	c := g.console()
	c.until("Linux version") // the first line of the boot is not lost
	g.await(supervisor.Ready)
	c.until("GUEST UP")
	c.say("go\n")
	c.until("reboot: ")
	exit := g.awaitExit("shutdown")
	if exit.ByHost || exit.Status != 0 {
		t.Errorf("exit %+v", exit)
	}
	g.must(g.Kill(g.ctx())) // it is gone, which is what Kill is for
	g.gone()
}

// ctx bounds one command.
func (g *guest) ctx() context.Context {
	ctx, cancel := context.WithTimeout(g.t.Context(), patience)
	g.t.Cleanup(cancel)
	return ctx
}

func (g *guest) must(err error) {
	g.t.Helper()
	if err != nil {
		g.t.Fatal(err)
	}
}

const rebooter = `echo GUEST UP; read x; reboot -f`

func TestRebootRestarts(t *testing.T) {
	t.Parallel()
	g := start(t, newSpec(t, rebooter))
	c := g.console()
	g.await(supervisor.Ready)
	c.until("GUEST UP")
	before := g.Facts()
	c.say("go\n")
	c.until("reboot: Restarting system")
	g.await(supervisor.Rebooted)
	c.until("GUEST UP") // on the same pty
	g.await(supervisor.Ready)
	if now := g.Facts(); now.GuestPID == before.GuestPID || now.PTYs["con0"] != before.PTYs["con0"] {
		t.Errorf("facts before %+v, now %+v", before, now)
	}
	g.must(g.Kill(g.ctx()))
	g.awaitExit("destroyed")
	g.gone()
}

func TestRebootDestroys(t *testing.T) {
	t.Parallel()
	spec := newSpec(t, rebooter)
	spec.OnReboot = domxml.ActionDestroy
	g := start(t, spec)
	c := g.console()
	g.await(supervisor.Ready)
	c.until("GUEST UP")
	c.say("go\n")
	if exit := g.awaitExit("shutdown"); exit.ByHost {
		t.Errorf("exit %+v", exit)
	}
}

// A shutdown that the guest can only answer by a reboot is a shutdown.
func TestExpectedShutdown(t *testing.T) {
	t.Parallel()
	g := start(t, newSpec(t, rebooter))
	c := g.console()
	g.await(supervisor.Ready)
	c.until("GUEST UP")
	g.must(g.Expect(g.ctx(), supervisor.IntentShutdown))
	c.say("go\n")
	if exit := g.awaitExit("shutdown"); !exit.ByHost {
		t.Errorf("exit %+v", exit)
	}
}

func TestPoweroffRestarts(t *testing.T) {
	t.Parallel()
	g := start(t, newSpec(t, `echo GUEST UP; read x; poweroff -f`))
	c := g.console()
	g.await(supervisor.Ready)
	c.until("GUEST UP")
	g.must(g.SetActions(g.ctx(), domxml.ActionRestart, domxml.ActionDestroy, domxml.ActionDestroy))
	c.say("go\n")
	g.await(supervisor.Rebooted)
	g.await(supervisor.Ready)
	c.until("GUEST UP")
}

const panicker = `echo GUEST UP; read x; echo c > /proc/sysrq-trigger; exit`

func TestPanic(t *testing.T) {
	t.Parallel()
	g := start(t, newSpec(t, panicker))
	c := g.console()
	g.await(supervisor.Ready)
	c.until("GUEST UP")
	c.say("go\n")
	if e := g.await(supervisor.Panicked); !strings.Contains(e.Text, "sysrq triggered crash") {
		t.Errorf("panic text %q", e.Text)
	}
	if exit := g.awaitExit("crashed"); !strings.Contains(exit.Text, "sysrq triggered crash") {
		t.Errorf("exit %+v", exit)
	}
	g.gone()
}

func TestPanicRestarts(t *testing.T) {
	t.Parallel()
	spec := newSpec(t, panicker)
	spec.OnCrash = domxml.ActionRestart
	g := start(t, spec)
	c := g.console()
	g.await(supervisor.Ready)
	c.until("GUEST UP")
	c.say("go\n")
	g.await(supervisor.Panicked)
	g.await(supervisor.Rebooted)
	g.await(supervisor.Ready)
	c.until("GUEST UP")
}

func TestPanicPreserved(t *testing.T) {
	t.Parallel()
	spec := newSpec(t, panicker)
	spec.OnCrash = domxml.ActionPreserve
	g := start(t, spec)
	c := g.console()
	g.await(supervisor.Ready)
	c.until("GUEST UP")
	c.say("go\n")
	g.await(supervisor.Panicked)
	c.until("Kernel panic") // what it said last can still be read
	for g.Facts().GuestPID != 0 {
		// The facts follow the event once the kernel is gone; a command is
		// answered after it.
		g.must(g.Expect(g.ctx(), supervisor.IntentNone))
	}
	if facts := g.Facts(); !facts.Preserved {
		t.Errorf("facts %+v", facts)
	}
	g.must(g.Reset(g.ctx()))
	g.await(supervisor.Rebooted)
	g.await(supervisor.Ready)
	g.must(g.Kill(g.ctx()))
	g.awaitExit("destroyed")
}

// Whoever is the guest's user can write to the notify socket at any time; while
// there is no kernel, nobody is believed.
func TestForgedNotices(t *testing.T) {
	t.Parallel()
	spec := newSpec(t, panicker)
	spec.OnCrash = domxml.ActionPreserve
	g := start(t, spec)
	c := g.console()
	g.await(supervisor.Ready)
	c.until("GUEST UP")
	c.say("go\n")
	g.await(supervisor.Panicked)
	for !g.Facts().Preserved {
		g.must(g.Expect(g.ctx(), supervisor.IntentNone))
	}
	for range 10 {
		g.forgeNotices()
		g.must(g.Expect(g.ctx(), supervisor.IntentNone))
	}
	g.must(g.Kill(g.ctx()))
	g.awaitExit("destroyed")
}

// forgeNotices sends what a kernel could report, from a process that is none.
func (g *guest) forgeNotices() {
	g.t.Helper()
	conn, err := net.Dial("unixgram", filepath.Join(g.spec.Dir, supervisor.GuestNotify))
	g.must(err)
	defer conn.Close()
	for kind := range uint32(4) {
		packet := binary.NativeEndian.AppendUint32(nil, 0xcafebabe)
		for _, field := range []uint32{2, kind, 3} {
			packet = binary.NativeEndian.AppendUint32(packet, field)
		}
		_, err = conn.Write(append(packet, "a/b"...))
		g.must(err)
	}
}

func TestReset(t *testing.T) {
	t.Parallel()
	g := start(t, newSpec(t, rebooter))
	c := g.console()
	g.await(supervisor.Ready)
	c.until("GUEST UP")
	g.must(g.Reset(g.ctx()))
	g.await(supervisor.Rebooted)
	g.await(supervisor.Ready)
	c.until("GUEST UP")
}

func TestTerminate(t *testing.T) {
	t.Parallel()
	g := start(t, newSpec(t, rebooter))
	g.await(supervisor.Ready)
	g.must(g.Terminate(g.ctx()))
	g.awaitExit("destroyed")
	g.gone()
}

func TestKilledFromOutside(t *testing.T) {
	t.Parallel()
	g := start(t, newSpec(t, rebooter))
	g.await(supervisor.Ready)
	g.must(syscall.Kill(g.Facts().GuestPID, syscall.SIGKILL))
	if exit := g.awaitExit("failed"); exit.Signal != int(syscall.SIGKILL) {
		t.Errorf("exit %+v", exit)
	}
	g.gone()
}

func TestSupervisorKilled(t *testing.T) {
	t.Parallel()
	g := start(t, newSpec(t, `yes > /dev/null & echo GUEST UP; read x`))
	c := g.console()
	g.await(supervisor.Ready)
	c.until("GUEST UP")
	g.must(syscall.Kill(g.Facts().SupervisorPID, syscall.SIGKILL))
	g.awaitExit("failed")
	g.gone()
	// Another daemon hears the same.
	_, exit, err := supervisor.Adopt(g.ctx(), g.spec.Dir)
	if err != nil || exit == nil || exit.Cause != "failed" {
		t.Errorf("Adopt: %+v, %v", exit, err)
	}
}

func TestSupervisorTerminated(t *testing.T) {
	t.Parallel()
	g := start(t, newSpec(t, rebooter))
	g.await(supervisor.Ready)
	g.must(syscall.Kill(g.Facts().SupervisorPID, syscall.SIGTERM))
	g.awaitExit("destroyed")
}

// stop stops a child of this process and returns when all its threads stand.
func (g *guest) stop(pid int) {
	g.t.Helper()
	g.must(syscall.Kill(pid, syscall.SIGSTOP))
	g.must(unix.Waitid(unix.P_PID, pid, nil, unix.WSTOPPED|unix.WNOWAIT, nil))
}

// A supervisor that does not answer is killed, and its guest with it.
func TestSupervisorStopped(t *testing.T) {
	t.Parallel()
	g := start(t, newSpec(t, rebooter))
	g.await(supervisor.Ready)
	g.stop(g.Facts().SupervisorPID)
	g.must(g.Kill(g.ctx()))
	g.awaitExit("destroyed")
	g.gone()
}

func TestPaused(t *testing.T) {
	t.Parallel()
	spec := newSpec(t, rebooter)
	spec.Paused = true
	g := start(t, spec)
	if !g.Facts().Held || g.Facts().PTYs["con0"] == "" {
		t.Errorf("facts %+v", g.Facts())
	}
	c := g.console()
	g.must(g.Run(g.ctx()))
	c.until("GUEST UP")
	g.await(supervisor.Ready)
	g.must(g.Run(g.ctx())) // no harm
}

func TestPausedKilled(t *testing.T) {
	t.Parallel()
	for _, how := range []func(*supervisor.Handle, context.Context) error{
		(*supervisor.Handle).Kill, (*supervisor.Handle).Terminate,
	} {
		spec := newSpec(t, rebooter)
		spec.Paused = true
		g := start(t, spec)
		g.must(how(g.Handle, g.ctx()))
		g.awaitExit("destroyed")
		g.gone()
	}
}

// adopt takes over the guest as a new daemon would.
func (g *guest) adopt() {
	g.t.Helper()
	g.must(g.Close())
	h, exit, err := supervisor.Adopt(g.ctx(), g.spec.Dir)
	if err != nil || exit != nil {
		g.t.Fatalf("Adopt: %+v, %v", exit, err)
	}
	g.Handle = h
}

func TestAdopt(t *testing.T) {
	t.Parallel()
	g := start(t, newSpec(t, `echo GUEST UP; read x; poweroff -f`))
	c := g.console()
	g.await(supervisor.Ready)
	c.until("GUEST UP")
	before := g.Facts()
	g.adopt()
	if now := g.Facts(); now.GuestPID != before.GuestPID || now.PTYs["con0"] != before.PTYs["con0"] || !now.Ready {
		t.Errorf("facts before %+v, now %+v", before, now)
	}
	c.say("go\n")
	g.awaitExit("shutdown")
}

// A daemon that is told to end while it adopts leaves the guest alone.
func TestAdoptGivenUp(t *testing.T) {
	t.Parallel()
	g := start(t, newSpec(t, rebooter))
	g.await(supervisor.Ready)
	pid := g.Facts().SupervisorPID
	g.must(g.Close())
	g.stop(pid)
	ctx, cancel := context.WithTimeout(g.ctx(), 100*time.Millisecond)
	defer cancel()
	if _, exit, err := supervisor.Adopt(ctx, g.spec.Dir); err == nil {
		t.Errorf("Adopt of a supervisor that does not answer succeeds; exit %+v", exit)
	}
	g.must(syscall.Kill(pid, syscall.SIGCONT))
	g.adopt()
	g.must(g.Kill(g.ctx()))
	g.awaitExit("destroyed")
}

// The reason of an end that nobody was there to see is kept.
func TestAdoptEnded(t *testing.T) {
	t.Parallel()
	g := start(t, newSpec(t, `echo GUEST UP; read x; poweroff -f`))
	c := g.console()
	g.await(supervisor.Ready)
	c.until("GUEST UP")
	supervisorGone := watch(t, g.Facts().SupervisorPID)
	g.must(g.Close())
	c.say("go\n")
	supervisorGone()
	for range 2 {
		h, exit, err := supervisor.Adopt(g.ctx(), g.spec.Dir)
		if h != nil || err != nil || exit == nil || exit.Cause != "shutdown" {
			t.Fatalf("Adopt: %v, %+v, %v", h, exit, err)
		}
	}
	g.must(supervisor.Forget(g.spec.Dir))
	if _, _, err := supervisor.Adopt(g.ctx(), g.spec.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Adopt of a forgotten guest: %v", err)
	}
}

// A guest that never lasts is not restarted in a tight loop.
func TestRestartsAreThrottled(t *testing.T) {
	t.Parallel()
	spec := newSpec(t, `echo c > /proc/sysrq-trigger`)
	spec.OnCrash = domxml.ActionRestart
	g := start(t, spec)
	for range 3 {
		g.await(supervisor.Ready)
		g.await(supervisor.Panicked)
		g.await(supervisor.Rebooted)
	}
	log, err := os.ReadFile(spec.LogFile)
	g.must(err)
	if waits := regexp.MustCompile(`restarting in (\S+)`).FindAllString(string(log), -1); !slices.Equal(waits, []string{"restarting in 1s", "restarting in 2s"}) {
		t.Errorf("waits: %q", waits)
	}
	g.must(g.Kill(g.ctx()))
	g.awaitExit("destroyed")
}

func TestStartTwice(t *testing.T) {
	t.Parallel()
	g := start(t, newSpec(t, rebooter))
	again := *g.spec
	if _, err := supervisor.Start(g.ctx(), "/proc/self/exe", &again); err == nil || !strings.Contains(err.Error(), "already running") {
		t.Errorf("second start: %v", err)
	}
	again.Dir = filepath.Join(filepath.Dir(again.Dir), "other")
	if _, err := supervisor.Start(g.ctx(), "/proc/self/exe", &again); err == nil || !strings.Contains(err.Error(), "umid 'demo'") {
		t.Errorf("start with the same umid: %v", err)
	}
}

// A supervisor that never answers is given up and leaves nothing.
func TestStartGivesUp(t *testing.T) {
	t.Parallel()
	spec := newSpec(t, "read x")
	hang := writeFile(t, filepath.Join(t.TempDir(), "hang"), "#!/bin/sh\nexec sleep 1000\n", 0o755)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	_, err := supervisor.Start(ctx, hang, spec)
	if !virerr.Is(err, libvirt.ErrOperationTimeout) {
		t.Errorf("Start: %v", err)
	}
	if _, err := os.Stat(spec.Dir); !os.IsNotExist(err) {
		t.Errorf("the folder is left: %v", err)
	}
	if _, err := supervisor.Start(t.Context(), "/bin/true", spec); err == nil {
		t.Error("a program that is no supervisor was taken for one")
	}
	start(t, spec).await(supervisor.Ready)
}

// Two daemons' worth of connections hear the same, and one that leaves or
// talks nonsense harms nobody.
func TestSeveralConnections(t *testing.T) {
	t.Parallel()
	g := start(t, newSpec(t, rebooter))
	g.await(supervisor.Ready)
	second, _, err := supervisor.Adopt(g.ctx(), g.spec.Dir)
	g.must(err)
	third, _, err := supervisor.Adopt(g.ctx(), g.spec.Dir)
	g.must(err)
	g.must(third.Close())
	g.must(third.Close())
	if err := third.Kill(g.ctx()); err == nil {
		t.Error("a closed handle kills")
	}
	conn, err := net.Dial("unixpacket", filepath.Join(g.spec.Dir, "control"))
	g.must(err)
	fmt.Fprint(conn, "nonsense")
	if _, err := io.Copy(io.Discard, conn); err != nil {
		t.Error(err)
	}
	g.must(second.Kill(g.ctx()))
	other := &guest{Handle: second, t: t, spec: g.spec}
	other.awaitExit("destroyed")
	g.awaitExit("destroyed")
	g.must(second.Close())
}
