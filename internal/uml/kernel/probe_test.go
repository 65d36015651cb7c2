package kernel_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/uml/kernel"
	"virtumld/internal/uml/kernel/kerneltest"
	"virtumld/internal/virerr"
)

// TestMain lets the test binary, under another name, play a program that never answers.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "hangs" {
		<-make(chan struct{})
	}
	os.Exit(m.Run())
}

func TestProbeOfTheInstalledKernel(t *testing.T) {
	t.Parallel()
	path := kerneltest.Binary(t)
	dir := t.TempDir()
	caps, err := kernel.NewProber(dir, nil).Probe(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if caps.Version.Major < 5 || !strings.HasPrefix(caps.Release, caps.Version.String()) {
		t.Errorf("version %v of release %q", caps.Version, caps.Release)
	}
	if caps.Path != path || caps.Arch == "" || caps.WordSize == 0 || caps.NrCPUs < 1 || !caps.Mconsole || !caps.Hostfs || !caps.UBD {
		t.Errorf("caps %+v", caps)
	}
	if !caps.StaticLink {
		// The C library loads libgcc_s.so.1 when a thread is cancelled.
		for _, name := range []string{"libc.so", "libgcc_s.so"} {
			if !slices.ContainsFunc(caps.Libraries, func(l string) bool { return strings.Contains(l, name) }) {
				t.Errorf("libraries %v of a dynamic kernel lack %s", caps.Libraries, name)
			}
		}
		for _, library := range caps.Libraries {
			if _, err := os.Stat(library); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestProbeAsAnotherUser(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can run a probe as another user")
	}
	if _, err := kernel.NewProber("", &kernel.User{UID: 65534, GID: 65534}).Probe(t.Context(), kerneltest.Binary(t)); err != nil {
		t.Fatal(err)
	}
	private := filepath.Join(t.TempDir(), "private")
	if err := os.Mkdir(private, 0o700); err != nil {
		t.Fatal(err)
	}
	hidden := filepath.Join(private, "kernel")
	link(t, kerneltest.Binary(t), hidden)
	_, err := kernel.NewProber("", &kernel.User{UID: 65534, GID: 65534}).Probe(t.Context(), hidden)
	if !virerr.Is(err, libvirt.ErrSystemError) || !errors.Is(err, syscall.EACCES) {
		t.Errorf("a kernel that the user may not execute: %v", err)
	}
}

func TestProbeRefusals(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	hangs := filepath.Join(dir, "hangs")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	link(t, self, hangs)
	tests := []struct {
		name, path string
		code       libvirt.ErrorNumber
		text       string
	}{
		{"missing", filepath.Join(dir, "missing"), libvirt.ErrSystemError, "no such file"},
		{"relative", "linux.uml", libvirt.ErrConfigUnsupported, "not absolute"},
		{"folder", dir, libvirt.ErrConfigUnsupported, "not a regular file"},
		{"not executable", file("plain", "x", 0o644), libvirt.ErrSystemError, "execute permission"},
		{"script", file("script", "#!/bin/sh\nsleep 1000\n", 0o755), libvirt.ErrConfigUnsupported, "not an ELF program"},
		{"empty", file("empty", "", 0o755), libvirt.ErrConfigUnsupported, "not an ELF program"},
		{"bzImage", file("bzImage", strings.Repeat("\x00", 510)+"\x55\xaaHdrS", 0o755), libvirt.ErrConfigUnsupported, "not an ELF program"},
		{"another program", "/bin/true", libvirt.ErrConfigUnsupported, "--help"},
		{"hangs", hangs, libvirt.ErrConfigUnsupported, "no answer within"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := kernel.NewProber("", nil).Probe(t.Context(), tt.path)
			if !virerr.Is(err, tt.code) || !strings.Contains(err.Error(), tt.text) || !strings.Contains(err.Error(), tt.path) {
				t.Errorf("%v; want code %d, the path and %q", err, tt.code, tt.text)
			}
		})
	}
}

// The disk cache answers for the same file and for no other.
func TestCache(t *testing.T) {
	t.Parallel()
	cache, dir := t.TempDir(), t.TempDir()
	path := filepath.Join(dir, "kernel")
	link(t, kerneltest.Binary(t), path)
	first, err := kernel.NewProber(cache, nil).Probe(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(cache, "kernel-*.json"))
	if len(files) != 1 {
		t.Fatalf("cache files %v", files)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(data), first.Release, "6.1.999", 1)
	if err := os.WriteFile(files[0], []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	second, err := kernel.NewProber(cache, nil).Probe(t.Context(), path)
	if err != nil || second.Release != "6.1.999" {
		t.Errorf("the cache was not used: %+v, %v", second, err)
	}
	if err := os.WriteFile(files[0], []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	third, err := kernel.NewProber(cache, nil).Probe(t.Context(), path)
	if err != nil || third.Release != first.Release {
		t.Errorf("a damaged cache file: %+v, %v", third, err)
	}
	prober := kernel.NewProber(cache, nil)
	if _, err := prober.Probe(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("no kernel any more"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := prober.Probe(t.Context(), path); !virerr.Is(err, libvirt.ErrConfigUnsupported) {
		t.Errorf("a replaced file: %v", err)
	}
}

func TestConcurrentProbes(t *testing.T) {
	t.Parallel()
	prober := kernel.NewProber(t.TempDir(), nil)
	path := kerneltest.Binary(t)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if _, err := prober.Probe(context.Background(), path); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := prober.Probe(cancelled, path); err != nil {
		t.Errorf("a known kernel needs no waiting: %v", err)
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "linux.uml"), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if got, err := kernel.Find("relative:" + dir); err != nil || got != filepath.Join(dir, "linux.uml") {
		t.Errorf("Find: %q, %v", got, err)
	}
	if got, err := kernel.Find(""); err != nil || !strings.HasPrefix(got, "/") {
		t.Errorf("Find without PATH: %q, %v", got, err)
	}
}

// link stands for a copy, which could not be executed while another test's
// fork still holds it open for writing.
func link(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Symlink(from, to); err != nil {
		t.Fatal(err)
	}
}
