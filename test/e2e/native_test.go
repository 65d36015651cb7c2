package e2e

import (
	"strings"
	"testing"

	"virtumld/internal/testkit"
)

// A domain's command line starts its kernel from a shell, and is turned back
// into a domain that boots.
func TestNativeFormat(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		image := d.Rootfs("a disk's image")
		d.Define(d.XML(testkit.Guest{Name: "vm", Disk: image}))
		text := d.OK("domxml-to-native", "uml-argv", "--domain", "vm")
		fromFile := d.OK("domxml-to-native", "uml-argv", "--xml", d.File("vm.xml", d.OK("dumpxml", "vm")))
		if text != fromFile {
			t.Errorf("by --domain:\n%s\nby --xml:\n%s", text, fromFile)
		}

		events := d.Events()
		script := d.File("start.sh", text)
		hand := d.Terminal("/bin/sh", script)
		events.Await("vm", "Started Booted")
		hand.Expect(testkit.ShellReady)
		hand.Send("poweroff -f\n")
		events.Await("vm", "Stopped Shutdown")
		hand.Wait()

		before := d.OK("dumpxml", "vm")
		document := d.OK("domxml-from-native", "uml-argv", script)
		d.OK("undefine", "vm")
		d.Define(document)
		if again := d.OK("domxml-to-native", "uml-argv", "--domain", "vm"); again != text {
			t.Errorf("%s\nbecame\n%s\nwhich is\n%s\nbefore it was\n%s", text, document, again, before)
		}
		d.DestroyLater("vm")
		d.OK("start", "vm")
		console := d.Terminal("virsh", "-c", d.URI, "console", "vm")
		console.Expect(testkit.ShellReady)
		d.OK("destroy", "vm")
		console.Wait()
	})
}

// A start script is read without any of its files being there.
func TestNativeScript(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		script := d.File("lab.sh", "#!/bin/sh\ncd /nowhere\nDISK=root.cow\n"+
			"exec ./linux umid=lab mem=96M \\\n\tubd0=$DISK,root.img eth0=mcast con0=fd:0,fd:1 con=pts &\n")
		document := d.OK("domxml-from-native", "uml-argv", script)
		for _, want := range []string{
			"<name>lab</name>", "<kernel>/nowhere/linux</kernel>", "<source file='/nowhere/root.cow'/>",
			"<source file='/nowhere/root.img'/>", "<interface type='mcast'>", "98304",
		} {
			if !strings.Contains(document, want) {
				t.Errorf("the document has no %q:\n%s", want, document)
			}
		}
		d.OK("define", "--validate", d.File("lab.xml", document))
		d.Refused("the variable 'HOME' is not set", "domxml-from-native", "uml-argv", d.File("home.sh", "$HOME/linux"))
		d.Refused("a substitution", "domxml-from-native", "uml-argv", d.File("run.sh", "/linux $(touch /tmp/x)"))

		const unknown = "error: invalid argument: unsupported config type qemu-argv"
		d.Refused(unknown, "domxml-from-native", "qemu-argv", script)
		d.Refused(unknown, "domxml-to-native", "qemu-argv", "--domain", "lab")
		d.Refused("no-such-kernel", "domxml-to-native", "uml-argv", "--xml", d.File("kernel.xml",
			strings.Replace(document, "/nowhere/linux", "/no-such-kernel", 1)))
		d.Refused("read only access prevents", "--readonly", "domxml-from-native", "uml-argv", script)
	})
}
