package storage_test

import (
	"log/slog"
	"path/filepath"
	"strconv"
	"testing"

	"virtumld/internal/storage"
)

func benchPool(b *testing.B) (*storage.Pools, storage.PoolSpec) {
	b.Helper()
	dir := b.TempDir()
	s, err := storage.Open(storage.Config{
		ConfigDir: filepath.Join(dir, "config"), StateDir: filepath.Join(dir, "state"), Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	def := definition("p", filepath.Join(dir, "p"))
	if _, err := s.CreatePool(b.Context(), def, storage.BuildOptions{Build: true}); err != nil {
		b.Fatal(err)
	}
	return s, storage.PoolSpec{Name: "p", UUID: def.UUID}
}

// BenchmarkCreateCOW is a clone of a sparse image of 10 GiB.
func BenchmarkCreateCOW(b *testing.B) {
	s, spec := benchPool(b)
	base, err := s.CreateVolume(b.Context(), spec, raw("base", 10<<30), storage.CreateOptions{})
	if err != nil {
		b.Fatal(err)
	}
	n := 0
	for b.Loop() {
		n++
		v, err := s.CreateVolume(b.Context(), spec, over("clone"+strconv.Itoa(n), base.Path), storage.CreateOptions{})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(v.Allocation), "bytes")
	}
}

// BenchmarkVolume is a lookup, which also looks at the file.
func BenchmarkVolume(b *testing.B) {
	s, spec := benchPool(b)
	if _, err := s.CreateVolume(b.Context(), spec, raw("disk", 1<<20), storage.CreateOptions{}); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := s.Volume(spec, "disk"); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkUpload and BenchmarkDownload move the buffers that the daemon does.
func BenchmarkUpload(b *testing.B) {
	s, spec := benchPool(b)
	if _, err := s.CreateVolume(b.Context(), spec, raw("disk", 64<<20), storage.CreateOptions{}); err != nil {
		b.Fatal(err)
	}
	buffer := make([]byte, 256<<10)
	b.SetBytes(64 << 20)
	for b.Loop() {
		u, err := s.Upload(b.Context(), spec, "disk", 0, 0)
		if err != nil {
			b.Fatal(err)
		}
		for range 64 << 20 / len(buffer) {
			if _, err := u.Write(buffer); err != nil {
				b.Fatal(err)
			}
		}
		if err := u.Finish(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDownload reads a file that is in memory.
func BenchmarkDownload(b *testing.B) {
	s, spec := benchPool(b)
	full := raw("disk", 64<<20)
	full.HasAllocation = false
	if _, err := s.CreateVolume(b.Context(), spec, full, storage.CreateOptions{}); err != nil {
		b.Fatal(err)
	}
	buffer := make([]byte, 256<<10)
	b.SetBytes(64 << 20)
	for b.Loop() {
		d, err := s.Download(b.Context(), spec, "disk", 0, 0)
		if err != nil {
			b.Fatal(err)
		}
		for err == nil {
			_, err = d.Read(buffer)
		}
		if err := d.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
