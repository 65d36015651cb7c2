package cow

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// rig is a pair in a folder of its own, made by hand so that every layout can
// be had, and what a guest would read from it.
type rig struct {
	base, cow string
	want      []byte
}

// newRig fills every third block of the backing file and lets the COW file
// hold the sectors that held chooses.
func newRig(t testing.TB, version int, size int64, held func(sector int64) bool) *rig {
	t.Helper()
	dir := t.TempDir()
	r := &rig{base: filepath.Join(dir, "base"), cow: filepath.Join(dir, "cow"), want: make([]byte, size)}
	for at := int64(0); at < size; at += 3 * 4096 {
		fill(r.want[at:min(at+4096, size)], byte(1+at/4096))
	}
	writeSparse(t, r.base, r.want)
	mtime := time.Unix(1_600_000_000, 0)
	if err := os.Chtimes(r.base, mtime, mtime); err != nil {
		t.Fatal(err)
	}
	r.writeCOW(t, version, held)
	return r
}

func (r *rig) writeCOW(t testing.TB, version int, held func(sector int64) bool) {
	t.Helper()
	size := int64(len(r.want))
	maker := map[int]func(string, uint32, uint64) []byte{1: v1, 2: v2, 3: v3, 4: v3Broken}[version]
	raw := maker(r.base, 1_600_000_000, uint64(size))
	h, err := parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	file := make([]byte, h.FileSize())
	copy(file, raw)
	for sector := range h.sectors() {
		if !held(sector) || sector/8 >= int64(h.BitmapLength()) {
			continue
		}
		file[int64(h.BitmapOffset())+sector/8] |= 1 << (sector % 8)
		part := r.want[sector*sectorSize : min((sector+1)*sectorSize, size)]
		fill(part, byte(200+sector%50))
		copy(file[int64(h.DataOffset())+sector*sectorSize:], part)
	}
	writeSparse(t, r.cow, file)
}

// writeSparse leaves holes where blocks are 0.
func writeSparse(t testing.TB, path string, content []byte) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(int64(len(content))); err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(content); at += 4096 {
		block := content[at:min(at+4096, len(content))]
		if bytes.Count(block, []byte{0}) == len(block) {
			continue
		}
		if _, err := f.WriteAt(block, int64(at)); err != nil {
			t.Fatal(err)
		}
	}
}

func fill(b []byte, with byte) {
	for i := range b {
		b[i] = with
	}
}

func none(int64) bool        { return false }
func all(int64) bool         { return true }
func scattered(s int64) bool { return s%7 == 3 || s/100%5 == 2 }

func readAll(t testing.TB, path string) []byte {
	t.Helper()
	r, err := openReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size()+1))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestReader(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		size int64
		held func(int64) bool
	}{
		{"nothing held", 5 << 20, none},
		{"all held", 5 << 20, all},
		{"scattered", 5<<20 + 4096, scattered},
		{"sector in part at the end", 1<<20 + 700, scattered},
		{"one byte", 1, all},
		{"empty", 0, all},
		{"few sectors", 5 * 512, func(s int64) bool { return s == 4 }},
	}
	for _, tt := range tests {
		for version := 1; version <= 4; version++ {
			r := newRig(t, version, tt.size, tt.held)
			if got := readAll(t, r.cow); !bytes.Equal(got, r.want) {
				t.Errorf("%s, layout %d: another content", tt.name, version)
			}
			checkExtents(t, r)
		}
	}
}

// checkExtents looks whether all that NextData leaves out is 0, and whether it
// goes forward.
func checkExtents(t testing.TB, rig *rig) {
	t.Helper()
	r, err := openReader(rig.cow)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got := make([]byte, r.Size())
	for off := int64(0); ; {
		start, end, err := r.NextData(off)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || start < off || end <= start || end > r.Size() {
			t.Fatalf("NextData(%d) is %d, %d, %v", off, start, end, err)
		}
		if _, err := r.ReadAt(got[start:end], start); err != nil {
			t.Fatal(err)
		}
		off = end
	}
	if !bytes.Equal(got, rig.want) {
		t.Error("the extents leave out data")
	}
}

func TestReaderAnywhere(t *testing.T) {
	t.Parallel()
	rig := newRig(t, 3, 5<<20+100, scattered)
	r, err := openReader(rig.cow)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	random := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		off := random.Int64N(r.Size())
		p := make([]byte, random.IntN(3<<20))
		n, err := r.ReadAt(p, off)
		want := rig.want[off:min(off+int64(len(p)), r.Size())]
		if n != len(want) || !bytes.Equal(p[:n], want) || (err == io.EOF) != (n < len(p)) || err != nil && err != io.EOF {
			t.Fatalf("%d bytes at %d: %d, %v", len(p), off, n, err)
		}
	}
	for _, off := range []int64{r.Size(), r.Size() + 1, 1 << 62} {
		if n, err := r.ReadAt(make([]byte, 1), off); n != 0 || err != io.EOF {
			t.Errorf("at %d: %d, %v", off, n, err)
		}
	}
	if _, err := r.ReadAt(make([]byte, 1), -1); err == nil || err == io.EOF {
		t.Errorf("before the begin: %v", err)
	}
}

func TestReadersSideBySide(t *testing.T) {
	t.Parallel()
	rig := newRig(t, 3, 1<<20, scattered)
	r, err := openReader(rig.cow)
	must(t, err)
	defer r.Close()
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			got, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
			if err != nil || !bytes.Equal(got, rig.want) {
				t.Errorf("another content, %v", err)
			}
		})
	}
	readers.Wait()
}

// A disk of 100 GiB with three data blocks is walked by its data.
func TestNextDataOfHugeDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	base, path := filepath.Join(dir, "base"), filepath.Join(dir, "cow")
	const size = 100 << 30
	writeSparse(t, base, nil)
	if err := os.Truncate(base, size); err != nil {
		t.Fatal(err)
	}
	block := bytes.Repeat([]byte{7}, 4096)
	writeAt(t, base, block, 40<<30)
	if err := Create(path, base); err != nil {
		t.Fatal(err)
	}
	h, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int64{70 << 30, size - 4096} {
		writeAt(t, path, []byte{0xff}, int64(h.BitmapOffset())+at/4096)
		writeAt(t, path, block, int64(h.DataOffset())+at)
	}
	r, err := openReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var found []int64
	for off := int64(0); ; {
		start, end, err := r.NextData(off)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || end-start != 4096 {
			t.Fatalf("%d to %d, %v", start, end, err)
		}
		found, off = append(found, start), end
	}
	if len(found) != 3 || found[0] != 40<<30 || found[1] != 70<<30 || found[2] != size-4096 {
		t.Errorf("data at %d", found)
	}
	out, err := os.Create(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if err := copyPath(context.Background(), path, out); err != nil {
		t.Fatal(err)
	}
	var stat unix.Stat_t
	if err := unix.Stat(out.Name(), &stat); err != nil || stat.Size != size || stat.Blocks > 2048 {
		t.Errorf("the copy has %d bytes in %d blocks, %v", stat.Size, stat.Blocks, err)
	}
}

func writeAt(t testing.TB, path string, b []byte, off int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(b, off); err != nil {
		t.Fatal(err)
	}
}

func TestNewReaderRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		spoil func(t *testing.T, r *rig)
		want  error
	}{
		{"not a COW file", func(t *testing.T, r *rig) { writeSparse(t, r.cow, make([]byte, 9000)) }, ErrNotCOW},
		{"cut short", func(t *testing.T, r *rig) { truncate(t, r.cow, 20000) }, ErrDamaged},
		{"no backing file", func(t *testing.T, r *rig) { remove(t, r.base) }, os.ErrNotExist},
		{"backing file cut", func(t *testing.T, r *rig) { truncate(t, r.base, 512) }, ErrMismatch},
		{"backing file touched", func(t *testing.T, r *rig) { writeAt(t, r.base, []byte{1}, 0) }, ErrMismatch},
		{"backing file is a folder", func(t *testing.T, r *rig) { remove(t, r.base); mkdir(t, r.base) }, ErrMismatch},
		{"backing file is a COW file", func(t *testing.T, r *rig) { writeAt(t, r.base, v3("/x", 1, 4096), 0) }, ErrMismatch},
		{"its own backing file", func(t *testing.T, r *rig) { remove(t, r.base); link(t, r.cow, r.base) }, ErrMismatch},
		{"its own by a symlink", func(t *testing.T, r *rig) { remove(t, r.base); symlink(t, r.cow, r.base) }, ErrMismatch},
		{"sectors of 1024 bytes", func(t *testing.T, r *rig) { writeAt(t, r.cow, []byte{0, 0, 4, 0}, 20) }, ErrDamaged},
	}
	for _, tt := range tests {
		r := newRig(t, 3, 1<<20, scattered)
		tt.spoil(t, r)
		if _, err := openReader(r.cow); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func truncate(t testing.TB, path string, n int64) { t.Helper(); must(t, os.Truncate(path, n)) }
func remove(t testing.TB, path string)            { t.Helper(); must(t, os.Remove(path)) }
func mkdir(t testing.TB, path string)             { t.Helper(); must(t, os.Mkdir(path, 0o700)) }
func link(t testing.TB, old, path string)         { t.Helper(); must(t, os.Link(old, path)) }
func symlink(t testing.TB, old, path string)      { t.Helper(); must(t, os.Symlink(old, path)) }

func BenchmarkCreate10GiB(b *testing.B)  { benchmarkCreate(b, 10<<30) }
func BenchmarkCreate100GiB(b *testing.B) { benchmarkCreate(b, 100<<30) }

func benchmarkCreate(b *testing.B, size int64) {
	dir := b.TempDir()
	base, path := filepath.Join(dir, "base"), filepath.Join(dir, "cow")
	must(b, os.WriteFile(base, nil, 0o600))
	truncate(b, base, size)
	for b.Loop() {
		must(b, Create(path, base))
		remove(b, path)
	}
}

func BenchmarkReadAt(b *testing.B) {
	rig := newRig(b, 3, 64<<20, func(s int64) bool { return s/64%2 == 0 })
	r, err := openReader(rig.cow)
	must(b, err)
	defer r.Close()
	p := make([]byte, 1<<20)
	b.SetBytes(r.Size())
	for b.Loop() {
		for off := int64(0); off < r.Size(); off += int64(len(p)) {
			if _, err := r.ReadAt(p, off); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkNextData walks over a disk of 100 GiB whose every 16 MiB hold a
// written sector.
func BenchmarkNextData100GiB(b *testing.B) {
	dir := b.TempDir()
	base, path := filepath.Join(dir, "base"), filepath.Join(dir, "cow")
	must(b, os.WriteFile(base, nil, 0o600))
	const size = 100 << 30
	truncate(b, base, size)
	must(b, Create(path, base))
	h, err := Open(path)
	must(b, err)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(b, err)
	defer f.Close()
	for sector := int64(0); sector < size/sectorSize; sector += 32768 {
		for _, at := range []int64{int64(h.BitmapOffset()) + sector/8, int64(h.DataOffset()) + sector*sectorSize} {
			_, err := f.WriteAt([]byte{1}, at)
			must(b, err)
		}
	}
	for b.Loop() {
		r, err := openReader(path)
		must(b, err)
		n := 0
		for off := int64(0); ; n++ {
			_, end, err := r.NextData(off)
			if errors.Is(err, io.EOF) {
				break
			}
			must(b, err)
			off = end
		}
		if n != size>>24 {
			b.Fatalf("%d extents", n)
		}
		r.Close()
	}
}
