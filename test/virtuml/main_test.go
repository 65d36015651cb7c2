// Package virtuml tests the program virtuml against a real daemon and real
// guests, as root and as an ordinary user.
package virtuml

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"virtumld/internal/testkit"
)

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "virtuml")
	if err != nil {
		panic(err)
	}
	shared.dir = dir
	if err := os.Chmod(dir, 0o755); err != nil {
		panic(err)
	}
	code := testkit.Main(m)
	if err := os.RemoveAll(dir); err != nil {
		panic(err)
	}
	os.Exit(code)
}

// shared are the program and the image that all tests use.
var shared struct {
	dir  string
	once sync.Once
	err  error
	out  []byte
}

// program is virtuml, built once.
func program() string { return filepath.Join(shared.dir, "virtuml") }

// build makes the program and the image bb.img: busybox and the init.
func build(t *testing.T) {
	t.Helper()
	shared.once.Do(func() {
		cmd := exec.Command("sh", "-euc", `
			CGO_ENABLED=0 go build -o "$1" ./cmd/virtuml ./cmd/virtuml-init
			tree="$1/tree"
			mkdir -p "$tree/bin" "$tree/etc" "$tree/.virtuml"
			cp "$1/virtuml" "$tree/.virtuml/init"
			cp /bin/busybox "$tree/bin/busybox"
			for applet in $(busybox --list); do ln -sf busybox "$tree/bin/$applet"; done
			rm -f "$tree/bin/busybox"; cp /bin/busybox "$tree/bin/busybox"
			echo root:x:0:0:root:/root:/bin/sh >"$tree/etc/passwd"
			echo app:x:100:101::/home/app:/bin/sh >>"$tree/etc/passwd"
			echo '{"cmd":["echo","from the image"],"env":["IMAGE=yes"],"workdir":"/work"}' >"$tree/.virtuml/image.json"
			/sbin/mke2fs -q -t ext4 -E root_owner=0:0 -d "$tree" "$1/bb.img" 64m
		`, "sh", shared.dir)
		cmd.Dir = testkit.Module(t)
		shared.out, shared.err = cmd.CombinedOutput()
	})
	if shared.err != nil {
		t.Fatalf("cannot make virtuml and its image: %v\n%s", shared.err, shared.out)
	}
}

// prepare makes the pool "default" with the volume bb.img.
func prepare(t *testing.T, d *testkit.Daemon) string {
	t.Helper()
	build(t)
	folder := filepath.Join(d.Dir, "pool")
	d.OK("pool-create-as", "default", "dir", "--target", folder, "--build")
	d.OK("vol-create-as", "default", "bb.img", "64MiB", "--allocation", "0")
	d.OK("vol-upload", "bb.img", filepath.Join(shared.dir, "bb.img"), "--pool", "default", "--sparse")
	return folder
}
