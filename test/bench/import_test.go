package bench

import (
	"archive/tar"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The root filesystem that is imported: so many files of so many bytes, 200 MB
// together.
const (
	importFiles    = 5000
	importFileSize = 40000
)

// virtuml is the binary that make bench has built.
func virtuml(b *testing.B) string {
	b.Helper()
	path := os.Getenv("VIRTUML_BINARY")
	if path == "" {
		b.Fatal("VIRTUML_BINARY does not name a virtuml; run 'make bench', which builds one")
	}
	return path
}

// BenchmarkImport compares "virtuml image import" of a tarball with tar and
// mke2fs by hand, which as root give the same owners.
func BenchmarkImport(b *testing.B) {
	tool, s := virtuml(b), ourPool(b, start(b))
	dir := b.TempDir()
	tarball := rootTarball(b, filepath.Join(dir, "root.tar"))
	folder, image := filepath.Join(dir, "folder"), filepath.Join(dir, "by-hand.img")
	var c comparison
	for b.Loop() {
		c.run(func() {
			program(b, tool, "image", "import", "--connect", s.uri, "--pool", "bench", "--name", "root", tarball)
		}, func() {
			must(b, os.Mkdir(folder, 0o755))
			program(b, "tar", "-x", "-f", tarball, "-C", folder)
			program(b, "mke2fs", "-q", "-t", "ext4", "-d", folder, image, "320M")
		})
		s.virsh(b, "vol-delete", "root", "--pool", "bench")
		must(b, os.RemoveAll(folder))
		must(b, os.Remove(image))
	}
	c.report(b, 1, "by-hand")
}

func program(b *testing.B, name string, args ...string) {
	b.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		b.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

// rootTarball makes the tarball of a root filesystem.
func rootTarball(b *testing.B, path string) string {
	b.Helper()
	f, err := os.Create(path)
	must(b, err)
	defer f.Close()
	w := tar.NewWriter(f)
	content := make([]byte, importFileSize)
	for i := range importFiles {
		rand.Read(content)
		must(b, w.WriteHeader(&tar.Header{
			Name: fmt.Sprintf("usr/lib/%d/file%d", i%100, i), Mode: 0o644, Size: importFileSize,
		}))
		_, err := w.Write(content)
		must(b, err)
	}
	must(b, w.Close())
	return path
}
