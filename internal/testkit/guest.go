package testkit

import (
	"encoding/xml"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
)

// Guest describes a domain for a test.
type Guest struct {
	Name string
	// Kernel is the kernel's path, "" for the installed one.
	Kernel string
	// Disk is the image of ubd0; "" names one that is not there, for a
	// domain that is never started.
	Disk string
	// Top is XML that goes right below <domain>, Devices XML that goes
	// into <devices> after the console.
	Top, Devices string
}

// XML is the guest's document: 128 MiB, a console, and what g says.
func (d *Daemon) XML(g Guest) string {
	d.t.Helper()
	if g.Kernel == "" {
		g.Kernel = Kernel(d.t)
	}
	if g.Disk == "" {
		g.Disk = filepath.Join(d.Dir, "no-such.img")
	}
	return fmt.Sprintf(`<domain type='uml'>
  <name>%s</name>
  <memory unit='MiB'>128</memory>
  <os><type>uml</type><kernel>%s</kernel></os>
  %s
  <devices>
    <disk type='file' device='disk'><source file='%s'/><target dev='ubd0' bus='uml'/></disk>
    <console type='pty'><target port='0'/></console>
    %s
  </devices>
</domain>
`, Escape(g.Name), Escape(g.Kernel), g.Top, Escape(g.Disk), g.Devices)
}

// Escape makes text safe inside XML.
func Escape(text string) string {
	var out strings.Builder
	if err := xml.EscapeText(&out, []byte(text)); err != nil {
		panic(err) // a Builder does not fail
	}
	return out.String()
}

// Boot defines a domain with a disk of its own and starts it. It is destroyed
// at the end of the test when it still runs then.
func (d *Daemon) Boot(g Guest) {
	d.t.Helper()
	if g.Disk == "" {
		g.Disk = d.Rootfs(g.Name + ".img")
	}
	d.Define(d.XML(g))
	d.OK("start", g.Name)
	d.DestroyLater(g.Name)
}

// DestroyLater destroys the domain at the end of the test if it runs then.
func (d *Daemon) DestroyLater(name string) {
	d.t.Cleanup(func() {
		if d.Running() {
			d.Virsh("destroy", name) // fails when it does not run
		}
	})
}

// FreePort is a TCP port that nobody listened on a moment ago.
func FreePort(t testing.TB) int {
	t.Helper()
	listener, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}
