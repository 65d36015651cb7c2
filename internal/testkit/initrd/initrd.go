// Package initrd makes tiny initial RAM disks for tests that boot a real
// kernel without a disk: busybox and one script.
package initrd

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// Busybox is the host's statically linked busybox.
const Busybox = "/bin/busybox"

// applets are the names under which a script finds busybox.
var applets = []string{
	"sh", "mount", "umount", "cat", "echo", "ls", "sleep", "poweroff", "reboot", "halt",
	"dd", "yes", "head", "stty", "mkdir", "printf", "ps", "kill", "true", "tr", "wc", "find", "seq", "mknod", "id", "sync", "grep",
}

// preamble comes before the script: what every init needs.
const preamble = `#!/bin/sh
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
`

// Build makes an initrd whose /init runs script with busybox's shell, as root
// of the guest, with /proc, /sys and /dev mounted. It returns the path.
func Build(t testing.TB, script string) string {
	t.Helper()
	busybox, err := os.ReadFile(Busybox)
	if err != nil {
		t.Fatalf("the package busybox-static is missing: %v", err)
	}
	var a archive
	for _, dir := range []string{"bin", "proc", "sys", "dev", "mnt", "tmp"} {
		a.add(dir, modeDir|0o755, nil)
	}
	a.add("bin/busybox", modeFile|0o755, busybox)
	for _, applet := range applets {
		a.add("bin/"+applet, modeLink|0o777, []byte("busybox"))
	}
	a.node("dev/console", modeChar|0o600, 5, 1)
	a.add("init", modeFile|0o755, []byte(preamble+script+"\n"))
	a.add("TRAILER!!!", 0, nil)

	path := filepath.Join(t.TempDir(), "initrd")
	if err := os.WriteFile(path, a.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// File types of struct stat's st_mode.
const (
	modeDir  = 0o040000
	modeFile = 0o100000
	modeLink = 0o120000
	modeChar = 0o020000
)

// archive is a cpio archive of the "new" format
// (Documentation/driver-api/early-userspace/buffer-format.rst).
type archive struct {
	bytes.Buffer
	inode int
}

func (a *archive) add(name string, mode int, data []byte) { a.entry(name, mode, 0, 0, data) }

func (a *archive) node(name string, mode, major, minor int) { a.entry(name, mode, major, minor, nil) }

func (a *archive) entry(name string, mode, major, minor int, data []byte) {
	a.inode++
	a.WriteString("070701")
	for _, field := range []int{a.inode, mode, 0, 0, 1, 0, len(data), 0, 0, major, minor, len(name) + 1, 0} {
		fmt.Fprintf(a, "%08X", field)
	}
	a.WriteString(name + "\x00")
	a.pad()
	a.Write(data)
	a.pad()
}

func (a *archive) pad() {
	for a.Len()%4 != 0 {
		a.WriteByte(0)
	}
}
