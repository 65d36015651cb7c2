package e2e

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"virtumld/internal/testkit"
)

// Each bad document is refused with a text that says what is wrong, and the
// daemon goes on.
func TestBadDocuments(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		good := d.XML(testkit.Guest{Name: "vm", Disk: "/tmp/root.img"})
		change := func(from, to string) string {
			t.Helper()
			if !strings.Contains(good, from) {
				t.Fatalf("the document has no %q", from)
			}
			return strings.Replace(good, from, to, 1)
		}
		disk := "<disk type='file' device='disk'><source file='/tmp/b'/><target dev='ubd0' bus='uml'/></disk>"
		bomb := `<!DOCTYPE d [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>`
		for name, c := range map[string]struct{ document, want string }{
			"not XML":          {"this is no XML", "error"},
			"cut":              {good[:len(good)/2], "error"},
			"empty":            {" ", "error"},
			"other root":       {"<network/>", "error"},
			"entity bomb":      {bomb + change("<name>vm<", "<name>&b;<"), "error"},
			"slash in name":    {change("<name>vm<", "<name>a/b<"), "'/'"},
			"newline in name":  {change("<name>vm<", "<name>a\nb<"), "name"},
			"NUL in name":      {change("<name>vm<", "<name>a&#0;b<"), "error"},
			"no name":          {change("<name>vm</name>", ""), "name"},
			"bad uuid":         {change("</name>", "</name><uuid>nonsense</uuid>"), "uuid"},
			"other type":       {change("type='uml'", "type='kvm'"), "kvm"},
			"negative memory":  {change(">128<", ">-128<"), "memory"},
			"unknown unit":     {change("'MiB'", "'fortnights'"), "fortnights"},
			"no memory":        {change("<memory unit='MiB'>128</memory>", ""), "memory"},
			"too little":       {change(">128<", ">1<"), "memory"},
			"duplicate disk":   {change("<console", disk+"<console"), "ubd0"},
			"duplicate port":   {change("<console", "<console type='pty'><target port='0'/></console><console"), "con"},
			"port out of 0-15": {change("port='0'", "port='16'"), "16"},
			"sound":            {change("<console", "<sound model='ac97'/><console"), "sound"},
			"coredump":         {change("<devices>", "<on_crash>coredump-destroy</on_crash><devices>"), "on_crash"},
			"relative kernel":  {change("<kernel>/", "<kernel>"), "kernel"},
		} {
			r := d.Virsh("define", d.File("bad.xml", c.document))
			if r.Code == 0 {
				t.Errorf("%s: defined", name)
				d.OK("undefine", "vm")
			} else if !strings.Contains(r.Stderr, c.want) {
				t.Errorf("%s: the error is\n%s\nwant it to say %q", name, r.Stderr, c.want)
			}
		}
		if got := d.Lines("list", "--all", "--name"); len(got) != 0 {
			t.Errorf("defined after all: %q", got)
		}
	})
}

// A start that cannot succeed says why and leaves nothing behind.
func TestBadStarts(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		noExec := d.File("no-exec", "#!/bin/sh\n")
		notUML := d.File("not-uml", "#!/bin/sh\nexit 3\n")
		if err := os.Chmod(notUML, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, g := range map[string]testkit.Guest{
			"nokernel": {Kernel: "/nonexistent/linux"},
			"noexec":   {Kernel: noExec},
			"notuml":   {Kernel: notUML},
			"nodisk":   {Disk: "/nonexistent/root.img"},
		} {
			g.Name = name
			document := d.File(name+".xml", d.XML(g))
			if r := d.Virsh("define", document); r.Code != 0 {
				if strings.Contains(r.Stderr, "internal error") || !strings.Contains(r.Stderr, "kernel") {
					t.Errorf("%s: define: %s", name, r.Stderr)
				}
				continue // refused at once is as good
			}
			r := d.Virsh("start", name)
			if r.Code == 0 {
				t.Errorf("%s has started", name)
				d.Virsh("destroy", name)
			}
			if path := g.Kernel + g.Disk; !strings.Contains(r.Stderr, path) {
				t.Errorf("%s: the error is\n%s\nwant it to name %s", name, r.Stderr, path)
			}
			if got := d.OK("domstate", name); got != "shut off" {
				t.Errorf("%s is %q after the failed start", name, got)
			}
		}
	})
}

// One image cannot be the disk of two guests.
func TestLockedDisk(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		disk := d.Rootfs("shared.img")
		d.Boot(testkit.Guest{Name: "first", Disk: disk})
		d.Define(d.XML(testkit.Guest{Name: "second", Disk: disk}))
		d.Refused("shared.img", "start", "second")
		d.OK("destroy", "first")
		d.OK("start", "second")
		d.OK("destroy", "second")
	})
}

// Paths with the characters of the kernel's own syntax work.
func TestOddPaths(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		for i, name := range []string{"with space.img", "a,b.img", "a:b.img", "a=b\"c'd.img", "ünï.img"} {
			guest := fmt.Sprint("odd", i)
			d.Boot(testkit.Guest{Name: guest, Disk: d.Rootfs(name)})
			console := d.Console(guest)
			console.Expect(testkit.ShellReady)
			console.Leave()
			d.OK("destroy", guest)
		}
	})
}

// Garbage on the socket ends that connection and nothing else.
func TestGarbageOnSocket(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		d.Define(d.XML(testkit.Guest{Name: "vm"}))
		for name, bytes := range map[string]string{
			"text":          "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
			"zero length":   strings.Repeat("\x00", 28),
			"huge length":   "\x7f\xff\xff\xff" + strings.Repeat("\x00", 24),
			"short length":  "\x00\x00\x00\x04",
			"bad arguments": "\x00\x00\x00\x20\x20\x00\x80\x86\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff",
		} {
			conn, err := net.Dial("unix", d.Socket)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Write([]byte(bytes)); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if err := conn.(*net.UnixConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if err := conn.SetReadDeadline(time.Now().Add(testkit.Patience)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, conn); err != nil && !strings.Contains(err.Error(), "reset") {
				t.Errorf("%s: the connection was not ended: %v", name, err)
			}
			conn.Close()
			if got := d.Lines("list", "--all", "--name"); len(got) != 1 {
				t.Fatalf("after %s: domains %q", name, got)
			}
		}
	})
}
