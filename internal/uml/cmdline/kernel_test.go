package cmdline_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"virtumld/internal/cow"
	"virtumld/internal/domxml"
	"virtumld/internal/supervisor"
	"virtumld/internal/uml/cmdline"
	"virtumld/internal/uml/kernel"
	"virtumld/internal/uml/kernel/kerneltest"
)

// The kernel is the judge of its command line: it finds the disks under their
// units, with their flags and serial, a disk of no sectors as unit 0, its
// shares and nothing else of the host, and it shows all that on con0.
func TestKernelTakesTheLine(t *testing.T) {
	t.Parallel()
	dir := kerneltest.ShortDir(t)
	share, base, cowFile, raw := filepath.Join(dir, "s"), filepath.Join(dir, "base, v1"), filepath.Join(dir, "cow"), filepath.Join(dir, "raw: image")
	if err := os.Mkdir(share, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(share, "hello"), "from-the-share")
	write(t, base, strings.Repeat("B", 1<<20))
	if err := cow.Create(cowFile, base); err != nil {
		t.Fatal(err)
	}
	header, err := os.ReadFile(cowFile)
	if err != nil {
		t.Fatal(err)
	}
	// A raw disk on which the guest has written a COW header stays raw.
	if err := os.WriteFile(raw, header, 0o600); err != nil {
		t.Fatal(err)
	}
	def := definition(func(d *domxml.Definition) {
		d.MaxMemory = 65536
		d.OS.Initrd = kerneltest.Initrd(t, `
echo ubda has $(cat /sys/block/ubda/size) sectors
echo ubdb is $(cat /sys/block/ubdb/serial) ro $(cat /sys/block/ubdb/ro) $(dd if=/dev/ubdb bs=3 count=1 2>/dev/null)
echo ubdc begins $(dd if=/dev/ubdc bs=4 count=1 2>/dev/null)
mount -t hostfs none /mnt -o /share/files && echo share $(cat /mnt/hello)
umount /mnt
mount -t hostfs none /mnt -o /etc 2>/dev/null && echo LEAK || echo CONFINED
poweroff -f
`)
		d.Disks = []domxml.Disk{
			{Target: "ubd1", Unit: 1, Path: cowFile, COW: true, Serial: "two words"},
			{Target: "ubd2", Unit: 2, Path: raw},
		}
		d.Filesystems = []domxml.Filesystem{{Source: share, Target: "files"}}
		d.Chardevs = nil
	})
	g := boot(t, dir, def, cmdline.Options{UMID: "demo", Backing: map[int]string{1: base}})
	for _, text := range []string{
		"ubda has 0 sectors", "ubdb is two words ro 0 BBB", "ubdc begins OOOM", "share from-the-share", "CONFINED", "reboot: ",
	} {
		g.WaitFor(t, text)
	}
	if status := g.Wait(t); status.ExitStatus() != 0 {
		t.Errorf("the guest ended with %v", status)
	}
}

// A host folder as root filesystem, writable and not.
func TestKernelBootsFromAFolder(t *testing.T) {
	t.Parallel()
	for _, readOnly := range []bool{false, true} {
		dir := kerneltest.ShortDir(t)
		root := filepath.Join(dir, "rootfs")
		kerneltest.Root(t, root, "echo up > /written && echo WRITTEN || echo READ-ONLY\npoweroff -f\n")
		def := definition(func(d *domxml.Definition) {
			d.MaxMemory = 65536
			d.OS.Cmdline = "init=/init"
			d.Disks, d.Chardevs = nil, nil
			d.Filesystems = []domxml.Filesystem{{Source: root, Target: "/", ReadOnly: readOnly}}
		})
		g := boot(t, dir, def, cmdline.Options{UMID: "demo"})
		if readOnly {
			g.WaitFor(t, "READ-ONLY")
		} else {
			g.WaitFor(t, "WRITTEN")
		}
		if status := g.Wait(t); status.ExitStatus() != 0 {
			t.Errorf("the guest ended with %v", status)
		}
		if _, err := os.Stat(filepath.Join(root, "written")); (err == nil) == readOnly {
			t.Errorf("read-only %t: %v", readOnly, err)
		}
	}
}

func boot(t *testing.T, dir string, def *domxml.Definition, options cmdline.Options) *kerneltest.Guest {
	t.Helper()
	caps, err := kernel.NewProber("", nil).Probe(t.Context(), kerneltest.Binary(t))
	if err != nil {
		t.Fatal(err)
	}
	line, err := cmdline.Build(def, caps, options)
	if err != nil {
		t.Fatal(err)
	}
	return kerneltest.Boot(t, kerneltest.Config{Args: place(t, dir, line)})
}

// place does what a supervisor without namespaces does: a folder of links
// stands for the guest's root.
func place(t *testing.T, dir string, line *cmdline.Line) []string {
	t.Helper()
	root := filepath.Join(dir, "r")
	if err := os.MkdirAll(filepath.Join(root, "uml"), 0o755); err != nil {
		t.Fatal(err)
	}
	files, words := line.Files, line.Args
	for _, disk := range line.Disks {
		files, words = append(files, disk.Files...), append(words, disk.Arg)
	}
	for _, file := range files {
		if file.Guest == file.Host {
			continue // a backing file, which is where its header says
		}
		name := filepath.Join(root, file.Guest)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(file.Host, name); err != nil {
			t.Fatal(err)
		}
	}
	var args []string
	for _, arg := range words {
		args = append(args, strings.ReplaceAll(arg, supervisor.Root, root))
	}
	return args
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
