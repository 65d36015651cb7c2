package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"virtumld/internal/testkit"
)

func TestDefineUndefine(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		events := d.Events()
		document := d.XML(testkit.Guest{Name: "vm"})
		d.Define(document)
		events.Await("vm", "Defined Added")
		uuid := d.OK("domuuid", "vm")
		if got := d.OK("domname", uuid); got != "vm" {
			t.Errorf("domname %s: %q", uuid, got)
		}

		// The same document again is a new uuid for a taken name.
		d.Refused("already exists with uuid", "define", d.File("again.xml", document))
		// The same uuid is a redefinition; under another name it clashes.
		inactive := d.OK("dumpxml", "--inactive", "vm")
		d.Define(strings.Replace(inactive, "131072", "262144", 1))
		events.Await("vm", "Defined Updated")
		if out := d.OK("dominfo", "vm"); !strings.Contains(out, "262144 KiB") {
			t.Errorf("dominfo after the redefinition:\n%s", out)
		}
		d.Refused("is already defined with uuid", "define",
			d.File("clash.xml", strings.Replace(inactive, "<name>vm<", "<name>other<", 1)))

		unknown := d.File("unknown.xml", strings.Replace(inactive, "<devices>", "<devices><gizmo/>", 1))
		d.Refused("gizmo", "define", "--validate", unknown)
		d.OK("define", unknown) // without, what is not known is dropped
		if out := d.OK("dumpxml", "vm"); strings.Contains(out, "gizmo") {
			t.Errorf("the unknown element was kept:\n%s", out)
		}
		d.OK("define", "--validate", d.File("valid.xml", inactive))

		d.Refused("is not running", "destroy", "vm")
		d.OK("undefine", "vm")
		events.Await("vm", "Undefined Removed")
		d.Refused("failed to get domain", "undefine", "vm")
	})
}

func TestDescriptionsAndMetadata(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		d.Define(d.XML(testkit.Guest{Name: "vm"}))
		d.OK("desc", "vm", "--config", "a description, <&> & 'quoted'")
		d.OK("desc", "vm", "--config", "--title", "a title")
		if got := d.OK("desc", "vm"); got != "a description, <&> & 'quoted'" {
			t.Errorf("desc: %q", got)
		}
		if got := d.OK("desc", "vm", "--title"); got != "a title" {
			t.Errorf("desc --title: %q", got)
		}
		d.Refused("newline", "desc", "vm", "--config", "--title", "two\nlines")

		const uri = "http://example.org/app"
		d.Refused("metadata not found", "metadata", "vm", uri)
		d.OK("metadata", "vm", uri, "--key", "app", "--config", "--set", "<owner who='me'>x &amp; y</owner>")
		if got := d.OK("metadata", "vm", uri); !strings.Contains(got, "x &amp; y</owner>") {
			t.Errorf("metadata: %q", got)
		}
		got := d.OK("dumpxml", "vm")
		if !strings.Contains(got, "<app:owner") || !strings.Contains(got, `xmlns:app="`+uri+`"`) {
			t.Errorf("dumpxml has no metadata with the key:\n%s", got)
		}
		d.OK("metadata", "vm", uri, "--config", "--remove")
		d.Refused("metadata not found", "metadata", "vm", uri)
	})
}

func TestEdit(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		d.Define(d.XML(testkit.Guest{Name: "vm"}))
		d.SetEnv("EDITOR", "sed -i s/131072/196608/")
		d.OK("edit", "vm")
		if out := d.OK("dominfo", "vm"); !strings.Contains(out, "196608 KiB") {
			t.Errorf("dominfo after the edit:\n%s", out)
		}
	})
}

func TestRename(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		d.Define(d.XML(testkit.Guest{Name: "old"}))
		d.Define(d.XML(testkit.Guest{Name: "taken"}))
		d.OK("autostart", "old")
		uuid := d.OK("domuuid", "old")
		d.Refused("taken", "domrename", "old", "taken")
		d.OK("domrename", "old", "new")
		if got := d.OK("domuuid", "new"); got != uuid {
			t.Errorf("the renamed domain has uuid %s, want %s", got, uuid)
		}
		d.Refused("failed to get domain", "dominfo", "old")

		d.Kill()
		d.Start()
		if out := d.OK("dominfo", "new"); !strings.Contains(out, "Autostart:      enable") {
			t.Errorf("after a restart the renamed domain does not autostart:\n%s", out)
		}
	})
}

// A domain marked for autostart runs after the host has booted, and is left
// alone when only the daemon is started anew.
func TestAutostart(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		d.Define(d.XML(testkit.Guest{Name: "vm", Disk: d.Rootfs("vm.img")}))
		d.OK("autostart", "vm")
		d.Stop()
		// A reboot forgets /run.
		if err := os.RemoveAll(filepath.Join(d.Dir, "run", "libvirt")); err != nil {
			t.Fatal(err)
		}
		d.Start()
		d.DestroyLater("vm")
		events := d.Events()
		if d.OK("domstate", "vm") != "running" {
			events.Await("vm", "Started Booted")
		}
		d.OK("destroy", "vm")

		d.Stop()
		d.Start()
		d.Events() // takes longer than an autostart would to begin
		if got := d.OK("domstate", "vm"); got != "shut off" {
			t.Errorf("after a restart of the daemon alone the domain is %q", got)
		}
		d.OK("autostart", "--disable", "vm")
		if out := d.OK("dominfo", "vm"); !strings.Contains(out, "Autostart:      disable") {
			t.Errorf("dominfo after --disable:\n%s", out)
		}
	})
}

func TestMemory(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		d.Define(d.XML(testkit.Guest{Name: "vm"}))
		d.OK("setmaxmem", "vm", "256M", "--config")
		d.OK("setmem", "vm", "192M", "--config")
		out := d.OK("dominfo", "vm")
		for _, want := range []string{"Max memory:     262144 KiB", "Used memory:    196608 KiB"} {
			if !strings.Contains(out, want) {
				t.Errorf("dominfo does not say %q:\n%s", want, out)
			}
		}
		d.Refused("", "setmem", "vm", "512M", "--config")
	})
}

// Names that are odd but allowed make it to the disk and back.
func TestOddNames(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		names := []string{"..", ".hidden", "with space", "ünï", "a<b>&'\"c", strings.Repeat("n", 64), "--dashes--"}
		for i, name := range names {
			d.OK("define", d.File(fmt.Sprintf("odd%d.xml", i), d.XML(testkit.Guest{Name: name})))
		}
		d.Kill()
		d.Start()
		for _, name := range names {
			d.OK("domuuid", "--domain", name)
			d.OK("undefine", "--domain", name)
		}
	})
}

// A file that is no definition is reported in the log and stays.
func TestForeignFiles(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		d.Define(d.XML(testkit.Guest{Name: "good"}))
		d.Stop()
		config := "config/libvirt/uml"
		if d.URI != "uml:///session" {
			config = "etc/libvirt/uml"
		}
		corrupt := d.File(config+"/corrupt.xml", "<domain")
		d.Start()
		if got := d.Lines("list", "--all", "--name"); len(got) != 1 || got[0] != "good" {
			t.Errorf("domains: %q, want good", got)
		}
		if !strings.Contains(d.Log(), corrupt) {
			t.Errorf("the log does not name %s:\n%s", corrupt, d.Log())
		}
		if data, err := os.ReadFile(corrupt); err != nil || string(data) != "<domain" {
			t.Errorf("the corrupt file is now %q (%v)", data, err)
		}
	})
}
