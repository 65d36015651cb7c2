package cmdline_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	libvirt "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"

	"virtumld/internal/domxml"
	"virtumld/internal/supervisor"
	"virtumld/internal/uml/cmdline"
	"virtumld/internal/uml/kernel"
	"virtumld/internal/virerr"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// old and smp are a kernel of Debian 12 and one of 2026 built for SMP.
var (
	old = kernel.Caps{
		Path: "/usr/bin/linux.uml", Release: "6.1.176", Version: kernel.Version{Major: 6, Minor: 1, Patch: 176}, Arch: "x86_64", WordSize: 64,
		Mconsole: true, Hostfs: true, VecNet: true, UBD: true, Initrd: true, NrCPUs: 1, NoRebootOption: true, UBDSerial: true,
	}
	smp = kernel.Caps{
		Path: "/opt/linux-7.2", Mconsole: true, Hostfs: true, VecNet: true, UBD: true, Initrd: true,
		SMP: true, NrCPUs: 8, SeccompOption: true, NoRebootOption: true, UBDSerial: true,
	}
	bare = kernel.Caps{Path: "/opt/bare", UBD: true, NrCPUs: 1}
)

var rootDisk = domxml.Disk{Target: "ubd0", Unit: 0, Path: "/images/a, b: c.img"}

func definition(change func(*domxml.Definition)) *domxml.Definition {
	def := &domxml.Definition{
		Name: "demo", UUID: uuid.MustParse("b4433fc2-a22e-ffb3-0a3d-9c173b395800"),
		MaxMemory: 500000, CurrentMemory: 500000, VCPUs: 1, VCPUsCurrent: 1,
		Disks:    []domxml.Disk{rootDisk},
		Chardevs: []domxml.Chardev{{Port: 0, Type: domxml.ChardevPTY}},
	}
	if change != nil {
		change(def)
	}
	return def
}

func TestBuild(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		caps    kernel.Caps
		backing map[int]string
		change  func(*domxml.Definition)
	}{
		{name: "minimal", caps: old},
		{name: "bare-kernel", caps: bare},
		{name: "old-mail", caps: old, change: func(d *domxml.Definition) {
			d.Chardevs = []domxml.Chardev{
				{Port: 0, Type: domxml.ChardevPTY},
				{Serial: true, Port: 0, Type: domxml.ChardevTCP, Host: "localhost", Service: "9000"},
				{Serial: true, Port: 3, Type: domxml.ChardevPTY},
			}
		}},
		{name: "processors", caps: smp, change: func(d *domxml.Definition) { d.VCPUs = 4 }},
		{name: "disks", caps: old, change: func(d *domxml.Definition) {
			d.Disks = []domxml.Disk{
				rootDisk,
				{Target: "ubdb", Unit: 1, Path: "/images/ro", ReadOnly: true},
				{Target: "ubd2", Unit: 2, Path: "/dev/vg/shared", Block: true, Shareable: true, Sync: true},
				{Target: "ubd15", Unit: 15, Path: "/images/s", NoDiscard: true, Serial: "WD-42"},
				{Target: "ubd4", Unit: 4, Path: "/images/t", Serial: "two words"},
			}
		}},
		{name: "cow", caps: old, backing: map[int]string{0: "/old place/base, v1"}, change: func(d *domxml.Definition) {
			d.Disks = []domxml.Disk{
				{Target: "ubd0", Unit: 0, Path: "/images/cow", COW: true, Backing: "/new/base", Serial: "S1"},
				{Target: "ubd1", Unit: 1, Path: "/images/cow1", COW: true, Backing: "/images/base1", ReadOnly: true},
			}
		}},
		{name: "no-unit-0", caps: old, change: func(d *domxml.Definition) {
			d.Disks = []domxml.Disk{
				{Target: "ubd5", Unit: 5, Path: "/images/y"},
				{Target: "ubd2", Unit: 2, Path: "/images/x", ReadOnly: true},
			}
		}},
		{name: "initrd", caps: old, change: func(d *domxml.Definition) {
			d.OS.Initrd = "/boot/initrd.img"
			d.Disks = nil
		}},
		{name: "initrd-and-root", caps: old, change: func(d *domxml.Definition) {
			d.OS.Initrd, d.OS.Root = "/boot/initrd.img", "/dev/ubda1"
			d.Disks[0].ReadOnly = true
		}},
		{name: "root-and-cmdline", caps: old, change: func(d *domxml.Definition) {
			d.OS.Root = "/dev/ubdb"
			d.OS.Cmdline = "  ro console=ttyS0\tquiet\n" + `dyndbg="file a.c +p" connect=x` + "  "
		}},
		{name: "hostfs-root", caps: old, change: func(d *domxml.Definition) {
			d.Disks = nil
			d.Filesystems = []domxml.Filesystem{
				{Source: "/srv/root fs", Target: "/"},
				{Source: "/srv/a", Target: "/data/a", ReadOnly: true},
				{Source: "/srv/b", Target: "b"},
			}
		}},
		{name: "serial-only", caps: old, change: func(d *domxml.Definition) {
			d.Chardevs = []domxml.Chardev{
				{Serial: true, Port: 1, Type: domxml.ChardevPTY},
				{Port: 0, Type: domxml.ChardevPTY, Duplicate: true},
			}
		}},
		{name: "null-lines", caps: old, change: func(d *domxml.Definition) {
			d.Chardevs = []domxml.Chardev{
				{Port: 1, Type: domxml.ChardevNull},
				{Port: 2, Type: domxml.ChardevNull, LogFile: "/var/log/con2"},
				{Port: 0, Type: domxml.ChardevNull},
				{Serial: true, Port: 63, Type: domxml.ChardevFile, Path: "/var/log/ssl63"},
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			line, err := cmdline.Build(definition(tt.change), &tt.caps, cmdline.Options{UMID: "demo", Backing: tt.backing})
			if err != nil {
				t.Fatal(err)
			}
			golden(t, tt.name, show(line))
		})
	}
}

// show is a line as the golden files have it; ROOT stands for supervisor.Root.
func show(line *cmdline.Line) string {
	var b strings.Builder
	for _, arg := range line.Args {
		fmt.Fprintln(&b, strings.ReplaceAll(arg, supervisor.Root, "ROOT"))
	}
	files := line.Files
	for _, disk := range line.Disks {
		fmt.Fprintf(&b, "disk %d: %s\n", disk.Unit, strings.ReplaceAll(disk.Arg, supervisor.Root, "ROOT"))
		files = append(files, disk.Files...)
	}
	for _, f := range files {
		fmt.Fprintf(&b, "file %s <- %q readonly=%t lock=%q own=%t\n", f.Guest, f.Host, f.ReadOnly, f.Lock, f.Own)
	}
	for i, c := range line.Channels {
		fmt.Fprintf(&b, "descriptor %d: %s %s\n", 3+i, c.Line, c.Type)
	}
	return b.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestBuildRefuses(t *testing.T) {
	t.Parallel()
	words := func(s string) func(*domxml.Definition) {
		return func(d *domxml.Definition) { d.OS.Cmdline = s }
	}
	share := func(targets ...string) func(*domxml.Definition) {
		return func(d *domxml.Definition) {
			for _, target := range targets {
				d.Filesystems = append(d.Filesystems, domxml.Filesystem{Source: "/srv", Target: target})
			}
		}
	}
	serial := func(s string) func(*domxml.Definition) {
		return func(d *domxml.Definition) { d.Disks[0].Serial = s }
	}
	tests := []struct {
		name   string
		caps   kernel.Caps
		change func(*domxml.Definition)
		text   string
	}{
		{"too little memory", old, func(d *domxml.Definition) { d.MaxMemory = cmdline.MinMemory - 1 }, "<memory>"},
		{"too much memory", old, func(d *domxml.Definition) { d.MaxMemory = 1 << 60 }, "<memory>"},
		{"a vector device", old, words("vec0:transport=tap"), "<interface>"},
		{"two processors", old, func(d *domxml.Definition) { d.VCPUs = 2 }, "<vcpu> 2"},
		{"too many processors", smp, func(d *domxml.Definition) { d.VCPUs = 9 }, "at most 8"},
		{"nothing to boot", old, func(d *domxml.Definition) { d.Disks = nil }, "nothing to boot from"},
		{"root with a space", old, func(d *domxml.Definition) { d.OS.Root = "/dev/ubda init=/bin/sh" }, "<root>"},
		{"initrd without support", bare, func(d *domxml.Definition) { d.OS.Initrd = "/i" }, "<initrd>"},
		{"hostfs without support", bare, share("a"), "<filesystem> a"},
		{"share with a space", old, share("a b"), "<filesystem>"},
		{"share that climbs", old, share("../x"), "<filesystem>"},
		{"share with a comma", old, share("a,b"), "<filesystem>"},
		{"empty share", old, share(""), "<filesystem>"},
		{"nested shares", old, share("/a", "a/b"), "within each other"},
		{"twice the root", old, share("/", "/"), "within each other"},
		{"serial without support", bare, serial("S"), "<serial> of disk ubd0"},
		{"serial with a comma", old, serial("a,b"), "<serial> of disk ubd0"},
		{"serial with a quote", old, serial(`a"b`), "<serial> of disk ubd0"},
		{"cow over nothing", old, func(d *domxml.Definition) { d.Disks[0].COW = true }, "<disk> ubd0"},
		{"cow over a relative path", old, func(d *domxml.Definition) { d.Disks[0].COW, d.Disks[0].Backing = true, "/a/../b" }, "plain absolute path"},
		{"open quote", old, words(`a="b c`), "<cmdline>"},
		{"umid", old, words("quiet umid=other"), "<name>"},
		{"a console", old, words("con0=xterm"), "<console>"},
		{"all consoles", old, words("con=pts"), "<console>"},
		{"a quoted console", old, words(`"ssl3=port:9000"`), "<serial>"},
		{"a disk", old, words("ubd1=/etc/shadow"), "<disk>"},
		{"hostfs", old, words("hostfs=/"), "<filesystem>"},
		{"help", old, words("--help"), "<cmdline>"},
		{"endless", old, words(strings.Repeat("x", 4096)), "bytes, more than 4095"},
	}
	for _, tt := range tests {
		_, err := cmdline.Build(definition(tt.change), &tt.caps, cmdline.Options{})
		if !virerr.Is(err, libvirt.ErrConfigUnsupported) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: %v, want CONFIG_UNSUPPORTED with %q", tt.name, err, tt.text)
		}
	}
}

// A definition can be checked before its COW file is there.
func TestCheck(t *testing.T) {
	t.Parallel()
	def := definition(func(d *domxml.Definition) { d.Disks[0].COW = true })
	if err := cmdline.Check(def, &old); err != nil {
		t.Error(err)
	}
	def.VCPUs = 2
	if err := cmdline.Check(def, &old); !virerr.Is(err, libvirt.ErrConfigUnsupported) {
		t.Error(err)
	}
}
