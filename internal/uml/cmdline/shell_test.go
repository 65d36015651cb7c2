package cmdline_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/domxml"
	"virtumld/internal/native"
	"virtumld/internal/uml/cmdline"
	"virtumld/internal/virerr"
)

const shellHead = `<domain type='uml'><name>demo</name><uuid>b4433fc2-a22e-ffb3-0a3d-9c173b395800</uuid><memory>131072</memory>`

// shellCases are documents whose command line for a shell says all of them.
var shellCases = map[string]string{
	"shell-plain": shellHead + `<os><type>uml</type><kernel>/opt/my linux</kernel><cmdline>quiet init="/bin/sh -c 'x'" $HOME</cmdline></os><on_reboot>destroy</on_reboot><devices>
		<disk type='file'><driver type='raw'/><source file="/images/it's a.img"/><target dev='ubd0' bus='uml'/></disk>
		<disk type='file'><driver type='cow' cache='writethrough'/><source file='/images/b.cow'/><backingStore type='file'><format type='raw'/><source file='/images/b'/></backingStore><target dev='ubd1' bus='uml'/></disk>
		<disk type='file'><driver type='raw' discard='ignore'/><source file='/images/c'/><target dev='ubd2' bus='uml'/><readonly/></disk>
		<disk type='block'><driver type='raw'/><source dev='/dev/vg/lv'/><target dev='ubd3' bus='uml'/><shareable/><serial>D-1</serial></disk>
		<console type='pty'/><console type='file'><source path='/log/a b' append='on'/></console><console type='file'><source path='/log/c'/></console>
		<serial type='tcp'><source mode='bind' host='0.0.0.0' service='9000'/></serial><serial type='dev'><source path='/dev/ttyS0'/></serial><serial type='pty'/></devices></domain>`,
	"shell-networks": shellHead + `<vcpu>4</vcpu><os><type>uml</type><kernel>/opt/linux</kernel><initrd>/boot/initrd</initrd><root>/dev/ubdb1</root></os><devices>
		<disk type='file'><driver type='raw'/><source file='/images/b'/><target dev='ubd1' bus='uml'/><readonly/></disk>
		<interface type='ethernet'><mac address='52:54:00:00:00:01'/><target dev='tap7' managed='no'/><guest dev='vec0'/></interface>
		<interface type='direct'><mac address='52:54:00:00:00:02'/><source dev='eth0' mode='bridge'/><mtu size='9000'/><guest dev='vec3'/></interface>
		<interface type='user'><mac address='52:54:00:00:00:03'/><guest dev='vec4'/></interface>
		<filesystem type='mount'><source dir='/srv/data'/><target dir='data'/></filesystem>
		<serial type='pty'><target port='2'/></serial></devices></domain>`,
	"shell-hostfs-root": shellHead + `<os><type>uml</type><kernel>/opt/linux</kernel></os><devices>
		<filesystem type='mount'><source dir='/srv/debian'/><target dir='/'/></filesystem>
		<console type='null'/></devices></domain>`,
}

// lossyCases are documents of which a kernel cannot be told all: comments say
// the rest.
var lossyCases = map[string]string{
	"shell-lossy": shellHead + `<os><type>uml</type><kernel>/opt/linux</kernel></os><devices>
		<disk type='file'><source file='/images/a'/><target dev='ubd0' bus='uml'/></disk>
		<interface type='network'><mac address='52:54:00:00:00:01'/><source network='two&#10;lines'/></interface>
		<interface type='bridge'><mac address='52:54:00:00:00:02'/><source bridge='br0'/><target dev='web'/></interface>
		<interface type='mcast'><mac address='52:54:00:00:00:03'/><source address='230.0.0.1' port='5000'/></interface>
		<interface type='vhostuser'><mac address='52:54:00:00:00:04'/><source type='unix' path='/run/vhost' mode='client'/></interface>
		<filesystem type='mount'><source dir='/srv/data'/><target dir='x'/><readonly/></filesystem>
		<serial type='tcp'><source mode='bind' host='localhost' service='9000'/></serial>
		<serial type='unix'><source mode='bind' path='/run/s'/><log file='/log/s'/></serial><console type='pty'/></devices></domain>`,
}

func shellOptions(def *domxml.Definition) cmdline.ShellOptions {
	backing := map[int]string{}
	for _, disk := range def.Disks {
		if disk.COW {
			backing[disk.Unit] = disk.Backing
		}
	}
	return cmdline.ShellOptions{
		UMID: def.Name, UMLDir: "/run/uml", Backing: backing,
		Socket: func(int) string { return "/run/guests/demo/vec" },
	}
}

func parsed(t *testing.T, document string) *domxml.Definition {
	t.Helper()
	def, err := domxml.Parse([]byte(document))
	if err != nil {
		t.Fatalf("%v\n%s", err, document)
	}
	return def
}

// inShell is the command line of def, whose kernel is the one that it names.
func inShell(t *testing.T, def *domxml.Definition) string {
	t.Helper()
	caps := smp
	caps.Path, caps.VirtioUML = def.OS.Kernel, true
	text, err := cmdline.Shell(def, &caps, shellOptions(def))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func shellGolden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (-update writes it anew); got:\n%s", file, got)
	}
}

// TestShellRoundTrip turns documents into command lines and back.
func TestShellRoundTrip(t *testing.T) {
	t.Parallel()
	for name, document := range shellCases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			def := parsed(t, document)
			text := inShell(t, def)
			shellGolden(t, name, text)
			back, err := native.XML(text)
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			// A command line has no uuid.
			back = strings.Replace(back, parsed(t, back).UUID.String(), def.UUID.String(), 1)
			if again := parsed(t, back); !reflect.DeepEqual(again, def) {
				t.Errorf("%s\nbecame\n%s\nwhich means\n%+v\nwant\n%+v", def.XML(true), text, again, def)
			}
		})
	}
}

// TestShellTellsTheRest has comments for what the words cannot say, which no
// name can end.
func TestShellTellsTheRest(t *testing.T) {
	t.Parallel()
	for name, document := range lossyCases {
		text := inShell(t, parsed(t, document))
		shellGolden(t, name, text)
		if _, err := native.XML(text); err != nil {
			t.Errorf("%v\n%s", err, text)
		}
	}
}

// TestShellRuns has a shell take the words apart.
func TestShellRuns(t *testing.T) {
	t.Parallel()
	def := parsed(t, shellCases["shell-plain"])
	text := strings.ReplaceAll(inShell(t, def), "/log/", t.TempDir()+"/")
	text = strings.Replace(text, "'/opt/my linux'", `printf '%s\n'`, 1)
	out, err := exec.Command("/bin/sh", "-c", text).Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	lines := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	for _, want := range []string{
		"mem=131072K", "umid=demo", `"ubd0d=/images/it's a.img"`, "ubd1s=/images/b.cow,/images/b",
		`init="/bin/sh -c 'x'"`, "$HOME", "con0=fd:0,fd:1",
	} {
		found := false
		for _, line := range lines {
			found = found || line == want
		}
		if !found {
			t.Errorf("the shell gives the kernel no word %q:\n%s", want, out)
		}
	}
}

// TestShellRefuses checks what a kernel's syntax has no way to say.
func TestShellRefuses(t *testing.T) {
	t.Parallel()
	for change, want := range map[string]string{
		`<disk type='file'><source file='/a,b'/><target dev='ubd0' bus='uml'/></disk>`: "ubd0",
		`<disk type='file'><source file='/a:b'/><target dev='ubd0' bus='uml'/></disk>`: "ubd0",
		`<disk type='file'><source file='/a"b'/><target dev='ubd0' bus='uml'/></disk>`: "ubd0",
		`<filesystem type='mount'><source dir='/a'/><target dir='/'/></filesystem>
		 <filesystem type='mount'><source dir='/b'/><target dir='b'/></filesystem>`: "<filesystem> b",
		`<filesystem type='mount'><source dir='/a,b'/><target dir='/'/></filesystem>`: "it has a comma",
		`<disk type='file'><source file='/a'/><target dev='ubd0' bus='uml'/></disk>
		 <console type='dev'><source path='/dev/a b'/></console>`: "<con0>",
	} {
		def := parsed(t, shellHead+`<os><type>uml</type></os><devices>`+change+`</devices></domain>`)
		text, err := cmdline.Shell(def, &smp, shellOptions(def))
		if !virerr.Is(err, libvirt.ErrConfigUnsupported) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q; %s", change, err, want, text)
		}
	}
}
