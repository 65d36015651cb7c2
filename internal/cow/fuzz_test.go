package cow

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// FuzzReader lets a COW file hold any sectors of a small disk.
func FuzzReader(f *testing.F) {
	f.Add(3, uint16(5000), uint16(0), uint16(5000), []byte{0x55, 0x01})
	f.Add(1, uint16(40000), uint16(513), uint16(9), []byte{0xff, 0xff, 0, 0x80})
	f.Add(4, uint16(0), uint16(0), uint16(1), []byte{})
	f.Add(2, uint16(60001), uint16(60000), uint16(900), bytes.Repeat([]byte{0, 0xff}, 9))
	f.Fuzz(func(t *testing.T, version int, size, off, n uint16, bitmap []byte) {
		version = 1 + (version%4+4)%4
		rig := newRig(t, version, int64(size), func(s int64) bool {
			return s/8 < int64(len(bitmap)) && bitmap[s/8]>>(s%8)&1 == 1
		})
		if got := readAll(t, rig.cow); !bytes.Equal(got, rig.want) {
			t.Fatal("another content")
		}
		checkExtents(t, rig)
		r, err := openReader(rig.cow)
		must(t, err)
		defer r.Close()
		p := make([]byte, n)
		got, _ := r.ReadAt(p, int64(off))
		from := min(int(off), int(size))
		if want := rig.want[from:min(from+int(n), int(size))]; got != len(want) || !bytes.Equal(p[:got], want) {
			t.Fatalf("%d bytes at %d: %d", n, off, got)
		}
	})
}

// FuzzRunEnd compares the search by words with one by bits.
func FuzzRunEnd(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10}, uint16(3))
	f.Add(bytes.Repeat([]byte{0xff}, 20), uint16(9))
	f.Fuzz(func(t *testing.T, b []byte, from uint16) {
		if int(from) >= len(b)*8 {
			return
		}
		at := func(i int64) bool { return b[i/8]>>(i%8)&1 == 1 }
		want := int64(from)
		for want < int64(len(b))*8 && at(want) == at(int64(from)) {
			want++
		}
		if set, end := runEnd(b, int64(from)); set != at(int64(from)) || end != want {
			t.Fatalf("%v to %d, want %v to %d", set, end, at(int64(from)), want)
		}
	})
}

// FuzzVerify takes any bytes for a COW file that a guest may have spoilt.
// Verify and openReader must agree on it.
func FuzzVerify(f *testing.F) {
	dir := f.TempDir()
	base, path := filepath.Join(dir, "base"), filepath.Join(dir, "cow")
	const size = 8192 + 100
	must(f, os.WriteFile(base, bytes.Repeat([]byte{3}, size), 0o600))
	mtime := time.Unix(1_600_000_000, 0)
	must(f, os.Chtimes(base, mtime, mtime))
	for _, raw := range [][]byte{v1(base, 1_600_000_000, size), v2(base, 1_600_000_000, size),
		v3(base, 1_600_000_000, size), v3Broken(base, 1_600_000_000, size), v3(base, 1, 1<<59), v3(path, 1, size), v3("x", 1, 1)} {
		f.Add(raw, []byte{0xff}, uint32(30000))
		f.Add(raw, []byte{}, uint32(9000))
	}
	f.Fuzz(func(t *testing.T, head, bitmap []byte, length uint32) {
		file := make([]byte, min(length, 1<<16))
		copy(file, head)
		if len(file) > 8192 {
			copy(file[8192:], bitmap)
		}
		path := filepath.Join(t.TempDir(), "cow")
		must(t, os.WriteFile(path, file, 0o600))
		cow, err := os.OpenFile(path, os.O_RDWR, 0)
		must(t, err)
		defer cow.Close()
		backing, err := os.Open(base)
		must(t, err)
		defer backing.Close()

		report, err := Verify(cow, backing)
		reader, openErr := NewReader(cow, backing)
		if err != nil {
			if report != nil || openErr == nil {
				t.Fatalf("%+v, %v, opening: %v", report, err, openErr)
			}
			return
		}
		if report.Header != nil && report.Held > report.Header.sectors() {
			t.Fatalf("%d sectors held of %d", report.Held, report.Header.sectors())
		}
		if report.OK() && openErr != nil {
			t.Fatalf("%+v, but opening: %v", report, openErr)
		}
		if openErr == nil {
			if _, err := reader.ReadAt(make([]byte, reader.Size()), 0); err != nil {
				t.Fatal(err)
			}
		}
	})
}
