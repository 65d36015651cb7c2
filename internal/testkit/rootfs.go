package testkit

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// Kernel is the UML kernel that tests boot.
func Kernel(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("linux.uml")
	if err != nil {
		t.Fatalf("the package user-mode-linux is missing: %v", err)
	}
	return path
}

var rootfs struct {
	sync.Mutex
	path string
}

// Rootfs makes a fresh copy, called name, of a busybox root filesystem in the
// daemon's folder and returns its path. Its guest has a shell on con0 and on
// ssl3, answers "virsh shutdown", and prints ShellReady before each shell.
func (d *Daemon) Rootfs(name string) string {
	d.t.Helper()
	image := builtRootfs(d.t)
	path := filepath.Join(d.Dir, name)
	if out, err := exec.Command("cp", "--sparse=always", "--reflink=auto", image, path).CombinedOutput(); err != nil {
		d.t.Fatalf("cannot copy the root filesystem: %v: %s", err, out)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		d.t.Fatal(err)
	}
	d.own(path)
	return path
}

// ShellReady is what a guest of Rootfs prints before each shell, and Prompt is
// the shell's prompt.
const (
	ShellReady = "This is the guest: a shell of its root user."
	Prompt     = "uml# "
)

// builtRootfs is the image that the copies are made of, made once.
func builtRootfs(t testing.TB) string {
	t.Helper()
	rootfs.Lock()
	defer rootfs.Unlock()
	if rootfs.path != "" {
		return rootfs.path
	}
	path := filepath.Join(sharedDir(t), "root.img")
	script := filepath.Join(Module(t), "scripts", "mkrootfs.sh")
	if out, err := exec.Command(script, path).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", script, err, out)
	}
	rootfs.path = path
	return path
}
