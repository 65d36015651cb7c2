package guests

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"virtumld/internal/testkit"
)

// lines is a guest with a line of every type, and what is at their host ends.
type lines struct {
	d         *testkit.Daemon
	shell     *testkit.Shell // on con0
	port, far int            // of 127.0.0.1 and 127.0.0.2
	terminal  *testkit.Line  // of the host, at ssl2
	unix      string
	kept, new string // files that were there before
	kernel    string // the log of con0
	fresh     string // the log of ssl63, without append
}

func bootLines(t *testing.T, d *testkit.Daemon) *lines {
	l := &lines{
		d: d, port: testkit.FreePort(t), far: testkit.FreePort(t),
		unix:   filepath.Join(d.Dir, "line.sock"),
		kept:   d.File("kept.txt", "old line\n"),
		new:    d.File("new.txt", "old line\n"),
		kernel: d.File("con0.log", "old boot\n"),
		fresh:  d.File("ssl63.log", "old boot\n"),
	}
	var device string
	l.terminal, device = d.PTY()
	d.Define(fmt.Sprintf(`<domain type='uml'>
  <name>vm</name><memory unit='MiB'>128</memory>
  <os><type>uml</type><kernel>%s</kernel></os>
  <devices>
    <disk type='file'><source file='%s'/><target dev='ubd0'/></disk>
    <console type='pty'><log file='%s' append='on'/><target port='0'/></console>
    <console type='file'><source path='%s' append='on'/><target port='1'/></console>
    <console type='file'><source path='%s'/><target port='2'/></console>
    <console type='null'><target port='3'/></console>
    <console type='pty'><target port='15'/></console>
    <serial type='tcp'><source mode='bind' host='127.0.0.1' service='%d'/><target port='0'/></serial>
    <serial type='unix'><source mode='bind' path='%s'/><target port='1'/></serial>
    <serial type='dev'><source path='%s'/><target port='2'/></serial>
    <serial type='pty'><target port='3'/></serial>
    <serial type='tcp'><source mode='bind' host='127.0.0.2' service='%d'/><target port='4'/></serial>
    <serial type='stdio'><target port='5'/></serial>
    <serial type='pty'><log file='%s' append='off'/><target port='63'/></serial>
  </devices>
</domain>`, testkit.Kernel(t), d.Rootfs("vm.img"), l.kernel, l.kept, l.new, l.port, l.unix, device, l.far, l.fresh))
	d.OK("start", "vm")
	d.DestroyLater("vm")
	l.shell = d.Shell("vm")
	return l
}

// Every type of line carries bytes both ways, all of them at once.
func TestLines(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		l := bootLines(t, d)
		t.Run("files", l.files)
		t.Run("tcp", func(t *testing.T) {
			l.talk(t, "/dev/ttyS0", func() *testkit.Line { return d.Dial("tcp", fmt.Sprint("127.0.0.1:", l.port)) })
			l.talk(t, "/dev/ttyS4", func() *testkit.Line { return d.Dial("tcp", fmt.Sprint("127.0.0.2:", l.far)) })
		})
		t.Run("unix", func(t *testing.T) {
			l.talk(t, "/dev/ttyS1", func() *testkit.Line { return d.Dial("unix", l.unix) })
		})
		t.Run("dev", func(t *testing.T) {
			l.talk(t, "/dev/ttyS2", func() *testkit.Line { return l.terminal })
		})
		t.Run("listens where asked only", l.listens)
		t.Run("devname", l.devname)
		t.Run("nobody reads", l.flood)
	})
}

// files are the lines that are only written to.
func (l *lines) files(t *testing.T) {
	l.shell.Run("echo to-con1 >/dev/tty1; echo to-con2 >/dev/tty2; echo to-con3 >/dev/tty3; echo to-ssl5 >/dev/ttyS5; echo to-ssl63 >/dev/ttyS63")
	// The guest's writes are in the supervisor's hands once they return; a
	// later answer on con0 came the same way.
	l.await(t, l.kept, "old line\nto-con1")
	l.await(t, l.new, "to-con2")
	if text := read(t, l.new); strings.Contains(text, "old") {
		t.Errorf("a file without append='on' holds %q", text)
	}
	l.await(t, l.d.GuestLog("vm"), "to-ssl5")
	if text := read(t, l.kernel); !strings.HasPrefix(text, "old boot\n") || !strings.Contains(text, "Linux version") {
		t.Errorf("the log of con0 begins %.100q, want what it held and then the boot", text)
	}
	l.await(t, l.fresh, "to-ssl63")
	if text := read(t, l.fresh); strings.Contains(text, "old") {
		t.Errorf("a log without append holds %q", text)
	}
}

// await waits for a file's content. Each round asks the guest for something,
// which takes the time that the file may need.
func (l *lines) await(t *testing.T, path, want string) {
	t.Helper()
	for range 100 {
		if strings.Contains(strings.ReplaceAll(read(t, path), "\r", ""), want) {
			return
		}
		l.shell.Run("true")
	}
	t.Errorf("%s holds %q, want it to have %q", path, read(t, path), want)
}

// talk has a shell behind a line, for two clients, one after the other.
func (l *lines) talk(t *testing.T, device string, dial func() *testkit.Line) {
	t.Helper()
	l.shell.Run("setsid sh -c 'exec sh -il <" + device + " >" + device + " 2>&1' &")
	for round := range 2 {
		far := dial()
		if round > 0 {
			far.Send("\n")
		}
		far.Expect(testkit.Prompt)
		shell := l.d.ShellOn(far)
		if got := shell.Run("tty"); got != device {
			t.Errorf("client %d: tty says %q, want %q", round, got, device)
		}
		if got := shell.Run("seq 3000"); !strings.HasSuffix(got, "\n2999\n3000") || strings.Count(got, "\n") != 2999 {
			t.Errorf("client %d: of 3000 lines came %d", round, strings.Count(got, "\n")+1)
		}
		if far != l.terminal {
			far.Close()
		}
	}
}

// listens looks at what the supervisor listens on.
func (l *lines) listens(t *testing.T) {
	want := map[string]bool{fmt.Sprint("127.0.0.1:", l.port): true, fmt.Sprint("127.0.0.2:", l.far): true}
	got := listeners(t, l.d.SupervisorPID("vm"))
	for _, address := range got {
		if !want[address] {
			t.Errorf("it listens on %s, which nobody asked for", address)
		}
		delete(want, address)
	}
	if len(want) > 0 {
		t.Errorf("it listens on %q, which lacks %v", got, want)
	}
	for _, pid := range l.d.GuestPIDs("vm") {
		if got := listeners(t, pid); len(got) > 0 {
			t.Errorf("process %d of the guest listens on %q", pid, got)
		}
	}
}

// devname reaches the lines by their names.
func (l *lines) devname(t *testing.T) {
	serial := l.d.Console("vm", "--devname", "serial3")
	serial.Knock()
	shell := l.d.ShellOn(serial)
	if got := shell.Run("tty"); got != "/dev/ttyS3" {
		t.Errorf("serial3 is %q", got)
	}
	serial.Leave()
	l.shell.Run("setsid sh -c 'exec sh -il </dev/tty15 >/dev/tty15 2>&1' &")
	console := l.d.Console("vm", "--devname", "console15")
	console.Knock()
	if got := l.d.ShellOn(console).Run("tty"); got != "/dev/tty15" {
		t.Errorf("console15 is %q", got)
	}
	console.Leave()
	for _, name := range []string{"serial0", "serial5", "console1"} {
		refused := l.d.Console("vm", "--devname", name)
		refused.Expect("character device " + name + " is not using a PTY")
		refused.Wait()
	}
}

// flood writes much more than any buffer holds to lines that nobody reads.
func (l *lines) flood(t *testing.T) {
	for _, device := range []string{"/dev/ttyS63", "/dev/tty3", "/dev/ttyS5"} {
		l.shell.Run("yes 0123456789 | head -c 110000 >" + device + "; echo the-end >" + device)
	}
	// The newest of it is still there.
	console := l.d.Console("vm", "--devname", "serial63")
	console.Expect(`0123456789\r\n0123456789\r\nthe-end`)
	console.Leave()
	l.d.OK("domstate", "vm")
}

// Every number that UML has can be defined and reached, and no other. A kernel
// has interrupts for about twenty lines that are ever opened.
func TestLineNumbers(t *testing.T) {
	t.Parallel()
	d := testkit.Start(t, testkit.User)
	for _, bad := range []string{
		`<console type='pty'><target port='16'/></console>`,
		`<serial type='pty'><target port='64'/></serial>`,
	} {
		document := d.XML(testkit.Guest{Name: "bad", Devices: bad})
		d.Refused("out of range", "define", d.File("bad.xml", document))
	}
	var devices strings.Builder
	for n := 1; n < 16; n++ {
		fmt.Fprintf(&devices, "<console type='pty'><target port='%d'/></console>\n", n)
	}
	for n := range 64 {
		fmt.Fprintf(&devices, "<serial type='pty'><target port='%d'/></serial>\n", n)
	}
	d.Boot(testkit.Guest{Name: "vm", Devices: devices.String()})
	shell := d.Shell("vm")
	for name, device := range map[string]string{
		"console1": "/dev/tty1", "console15": "/dev/tty15",
		"serial0": "/dev/ttyS0", "serial31": "/dev/ttyS31", "serial63": "/dev/ttyS63",
	} {
		shell.Run("echo to-" + name + " >" + device)
		console := d.Console("vm", "--devname", name)
		console.Expect("to-" + name + "\r")
		console.Leave()
	}
}

// A line that cannot be had refuses the start, and what it needs is named.
func TestLineRefused(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		port := testkit.FreePort(t)
		listen := fmt.Sprintf(`<serial type='tcp'><source mode='bind' host='127.0.0.1' service='%d'/><target port='0'/></serial>`, port)
		d.Boot(testkit.Guest{Name: "first", Devices: listen})
		missing := filepath.Join(d.Dir, "no/such/file")
		for name, c := range map[string]struct{ devices, want string }{
			"taken":    {listen, fmt.Sprintf("127.0.0.1:%d", port)},
			"foreign":  {fmt.Sprintf(`<serial type='tcp'><source mode='bind' host='192.0.2.1' service='%d'/><target port='0'/></serial>`, port), "192.0.2.1"},
			"nofile":   {`<serial type='file'><source path='` + missing + `'/></serial>`, missing},
			"nodevice": {`<serial type='dev'><source path='` + missing + `'/></serial>`, missing},
			"nosocket": {`<serial type='unix'><source mode='bind' path='` + missing + `'/></serial>`, missing},
			"nolog":    {`<serial type='pty'><log file='` + missing + `'/></serial>`, missing},
		} {
			d.Define(d.XML(testkit.Guest{Name: name, Disk: d.Rootfs(name + ".img"), Devices: c.devices}))
			d.DestroyLater(name)
			d.Refused(c.want, "start", name)
			if got := d.OK("domstate", name); got != "shut off" {
				t.Errorf("after a refused start %q is %q", name, got)
			}
		}
		if got := d.Lines("list", "--name"); len(got) != 1 {
			t.Errorf("running are %q, want the first alone", got)
		}
	})
}
