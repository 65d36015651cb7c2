package guests

import (
	"fmt"
	"strings"
	"testing"

	"virtumld/internal/testkit"
	"virtumld/internal/testkit/initrd"
)

// A ramdisk alone, and a command line of the user's.
func TestBootInitrd(t *testing.T) {
	built := initrd.Build(t, `
echo "cmdline: $(cat /proc/cmdline)"
echo "words: $spaced $plain"
echo "args: $*"
exec sh`)
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		ramdisk := d.File("initrd", read(t, built))
		document := func(name, cmdline string) string {
			return fmt.Sprintf(`<domain type='uml'>
  <name>%s</name><memory unit='MiB'>128</memory>
  <os><type>uml</type><kernel>%s</kernel><initrd>%s</initrd><cmdline>%s</cmdline></os>
  <devices><console type='pty'/></devices>
</domain>`, name, testkit.Kernel(t), ramdisk, testkit.Escape(cmdline))
		}
		d.OK("create", d.File("vm.xml", document("vm", `plain=1 spaced="two  words" quiet -- one "two three"`)))
		d.DestroyLater("vm")
		console := d.Console("vm")
		console.Expect(`cmdline: .*plain=1 spaced="two  words" quiet -- one "two three"`)
		console.Expect(`words: two  words 1`)
		console.Expect(`args: .*one two three`) // with what no one took before
		console.Leave()
		for cmdline, want := range map[string]string{
			`unclosed="x y`:                  "a quote",
			`mem=1G`:                         "<memory>",
			`ubd1=/etc/passwd`:               "<disk>",
			`"ubd1=/etc/passwd"`:             "<disk>",
			`hostfs=/`:                       "<filesystem>",
			`con0=fd:9`:                      "<console>",
			`x=` + strings.Repeat("y", 4096): "cmdline>",
		} {
			d.Refused(want, "define", d.File("bad.xml", document("bad", cmdline)))
		}
	})
}

// <root> names another disk than the first.
func TestBootRoot(t *testing.T) {
	t.Parallel()
	d := testkit.Start(t, testkit.User)
	document := d.XML(testkit.Guest{Name: "vm", Disk: image(t, d, "empty.img", ""), Devices: disk("vdb", d.Rootfs("root.img"), "")})
	document = strings.Replace(document, "</kernel>", "</kernel><root>/dev/ubdb</root>", 1)
	d.OK("create", d.File("vm.xml", document))
	d.DestroyLater("vm")
	if got := d.Shell("vm").Run("cat /proc/cmdline"); !strings.Contains(got, "root=/dev/ubdb") {
		t.Errorf("the command line is %q", got)
	}
	// One that is not there: the guest crashes, and that is what is said.
	d.OK("destroy", "vm")
	events := d.Events()
	d.OK("create", d.File("vm.xml", strings.Replace(document, "/dev/ubdb<", "/dev/ubdp<", 1)))
	events.Await("vm", "Crashed Panicked")
	events.Await("vm", "Stopped Crashed")
}
