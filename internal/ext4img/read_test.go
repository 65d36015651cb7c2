package ext4img

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestReadFile(t *testing.T) {
	big := strings.Repeat("0123456789abcdef", 1<<16)
	entries := []entry{file("a/b/c", "text"), file("big", big), link('2', "l", "a/b/c"), file("empty", "")}
	for i := range 3000 {
		entries = append(entries, file(fmt.Sprintf("many/%d", i), fmt.Sprint(i)))
	}
	f, err := os.Open(build(t, Options{}, 0, entries...))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for name, want := range map[string]string{"/a/b/c": "text", "big": big, "empty": "", "many/2999": "2999"} {
		if got, err := ReadFile(f, name, 1<<20); err != nil || string(got) != want {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	for name, want := range map[string]error{"a": fs.ErrNotExist, "l": fs.ErrNotExist, "a/b/c/d": fs.ErrNotExist, "x": fs.ErrNotExist, "big": ErrLimit} {
		if got, err := ReadFile(f, name, 1000); !errors.Is(err, want) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
}

// Filesystems of mke2fs are read too: with checksums and 64 bits, and blocks
// of 1 KiB.
func TestReadForeign(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a"), []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, options := range []string{"64bit,metadata_csum", "^64bit,^metadata_csum"} {
		for _, size := range []string{"1024", "4096"} {
			path := filepath.Join(t.TempDir(), "fs")
			if out, err := exec.Command("/sbin/mke2fs", "-q", "-t", "ext4", "-O", options, "-b", size, "-d", dir, path, "16m").CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := ReadFile(bytes.NewReader(data), "a", 100); err != nil || string(got) != "text" {
				t.Errorf("%s, %s: %q, %v", options, size, got, err)
			}
		}
	}
}

// Whatever a guest wrote into its filesystem, reading ends.
func FuzzReadFile(f *testing.F) {
	path := build(f, Options{}, 2<<20, file("a/b", "text"))
	data, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint32(superSize+0x18), uint32(1), uint32(9000), uint32(0))
	f.Fuzz(func(t *testing.T, at1, value1, at2, value2 uint32) {
		bad := bytes.Clone(data)
		for at, value := range map[uint32]uint32{at1: value1, at2: value2} {
			le.PutUint32(bad[at%uint32(len(bad)-4):], value)
		}
		if got, err := ReadFile(bytes.NewReader(bad), "a/b", 1000); err == nil && len(got) > 1000 {
			t.Errorf("%d bytes", len(got))
		}
	})
}
