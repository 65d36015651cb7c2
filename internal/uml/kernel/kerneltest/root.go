package kerneltest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// folders are what a small root filesystem has.
var folders = []string{"bin", "proc", "sys", "dev", "mnt"}

// Initrd writes an initial ramdisk with busybox and the shell script as its
// /init, and returns its path. /proc, /sys and /dev are mounted before.
func Initrd(t testing.TB, script string) string {
	t.Helper()
	var archive bytes.Buffer
	for _, dir := range folders {
		cpioEntry(&archive, dir, 0o040755, nil)
	}
	cpioEntry(&archive, "bin/busybox", 0o100755, busybox(t))
	cpioEntry(&archive, "init", 0o100755, initScript(script))
	cpioEntry(&archive, "TRAILER!!!", 0, nil)
	path := filepath.Join(t.TempDir(), "initrd")
	if err := os.WriteFile(path, archive.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// Root makes the same as a folder, dir, which must not exist. Mounted
// read-only it has mount, poweroff and the shell's own commands alone.
func Root(t testing.TB, dir, script string) {
	t.Helper()
	for _, name := range folders {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, data := range map[string][]byte{"bin/busybox": busybox(t), "init": initScript(script)} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"mount", "poweroff"} {
		if err := os.Symlink("busybox", filepath.Join(dir, "bin", name)); err != nil {
			t.Fatal(err)
		}
	}
}

func initScript(script string) []byte {
	const prologue = "#!/bin/busybox sh\n" +
		"/bin/busybox --install -s /bin 2>/dev/null\nexport PATH=/bin\n" +
		"mount -t proc proc /proc\nmount -t sysfs sysfs /sys\nmount -t devtmpfs dev /dev 2>/dev/null\n"
	return []byte(prologue + script)
}

func busybox(t testing.TB) []byte {
	t.Helper()
	path, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal("no busybox: install the package busybox-static")
	}
	program, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return program
}

// cpioEntry appends one member in the "newc" format that the kernel unpacks
// (Documentation/driver-api/early-userspace/buffer-format.rst).
func cpioEntry(archive *bytes.Buffer, name string, mode uint32, data []byte) {
	fields := []int{0, int(mode), 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0}
	archive.WriteString("070701")
	for _, field := range fields {
		fmt.Fprintf(archive, "%08x", field)
	}
	archive.WriteString(name + "\x00")
	pad(archive)
	archive.Write(data)
	pad(archive)
}

func pad(archive *bytes.Buffer) {
	for archive.Len()%4 != 0 {
		archive.WriteByte(0)
	}
}
