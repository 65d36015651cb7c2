package e2e

import (
	"encoding/xml"
	"fmt"
	"strings"
	"testing"

	"virtumld/internal/testkit"
)

// The story of the README: define, start, console, dumpxml, shutdown,
// undefine.
func TestDemo(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		disk := d.Rootfs("root.img")
		d.Define(d.XML(testkit.Guest{Name: "demo", Disk: disk, Devices: fmt.Sprintf(`
			<serial type='tcp'><source mode='bind' host='localhost' service='%d'/><target port='0'/></serial>
			<serial type='pty'><target port='3'/></serial>`, testkit.FreePort(t))}))
		d.DestroyLater("demo")
		events := d.Events()

		d.OK("start", "demo")
		events.Await("demo", "Started Booted")
		console := d.Console("demo")
		console.Expect(testkit.ShellReady)
		console.Expect(testkit.Prompt)
		console.Send("uname -a; grep MemTotal /proc/meminfo\n")
		console.Expect(`Linux uml \d+\.\d+.* x86_64`)
		console.Expect(`MemTotal: +\d+ kB`)
		console.Leave()

		serial := d.Console("demo", "--devname", "serial3")
		serial.Knock()
		serial.Send("echo on $(tty)\n")
		serial.Expect(`on /dev/ttyS3`)
		serial.Leave()

		checkLiveXML(t, d.OK("dumpxml", "demo"))
		d.OK("shutdown", "demo")
		events.Await("demo", "Stopped Shutdown")
		if got := d.OK("domstate", "demo", "--reason"); got != "shut off (shutdown)" {
			t.Errorf("after the shutdown the state is %q", got)
		}
		d.OK("undefine", "demo")
		events.Await("demo", "Undefined Removed")
		if left := d.Lines("list", "--all", "--name"); len(left) != 0 {
			t.Errorf("after undefine: %q", left)
		}
	})
}

// liveDomain is what clients read from a running domain's document.
type liveDomain struct {
	ID      int    `xml:"id,attr"`
	Type    string `xml:"type,attr"`
	UUID    string `xml:"uuid"`
	Console []struct {
		TTY    string `xml:"tty,attr"`
		Source struct {
			Path string `xml:"path,attr"`
		} `xml:"source"`
		Alias struct {
			Name string `xml:"name,attr"`
		} `xml:"alias"`
	} `xml:"devices>console"`
}

func live(t *testing.T, document string) liveDomain {
	t.Helper()
	var dom liveDomain
	if err := xml.Unmarshal([]byte(document), &dom); err != nil {
		t.Fatalf("%v in\n%s", err, document)
	}
	return dom
}

func checkLiveXML(t *testing.T, document string) {
	t.Helper()
	dom := live(t, document)
	if dom.Type != "uml" || dom.ID < 1 || len(dom.UUID) != 36 {
		t.Errorf("type %q, id %d, uuid %q", dom.Type, dom.ID, dom.UUID)
	}
	if len(dom.Console) == 0 {
		t.Fatalf("no console in\n%s", document)
	}
	c := dom.Console[0]
	if !strings.HasPrefix(c.Source.Path, "/dev/pts/") || c.TTY != c.Source.Path || c.Alias.Name == "" {
		t.Errorf("the console is %+v, want a pty, the tty attribute and an alias", c)
	}
}
