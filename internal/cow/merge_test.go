package cow

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"virtumld/internal/filelock"
)

func TestMerge(t *testing.T) {
	t.Parallel()
	for version := 1; version <= 4; version++ {
		for _, held := range []func(int64) bool{none, all, scattered} {
			for _, size := range []int64{0, 700, 1 << 20, 1<<20 + 100} {
				r := newRig(t, version, size, held)
				must(t, mergePath(t.Context(), r.cow, nil))
				checkMerged(t, r)
			}
		}
	}
}

// Disks of a few sectors have a bitmap of a few bytes.
func TestMergeSmallDisks(t *testing.T) {
	t.Parallel()
	for sectors := int64(1); sectors <= 66; sectors++ {
		for version := 1; version <= 4; version++ {
			for _, held := range []func(int64) bool{none, all, scattered} {
				r := newRig(t, version, sectors*sectorSize, held)
				must(t, mergePath(t.Context(), r.cow, nil))
				checkMerged(t, r)
			}
		}
	}
}

// checkMerged looks whether everything is in the backing file, and whether the
// pair is valid and takes no space.
func checkMerged(t *testing.T, r *rig) {
	t.Helper()
	base, err := os.ReadFile(r.base)
	must(t, err)
	if !bytes.Equal(base, r.want) {
		t.Error("the backing file has another content")
	}
	if got := readAll(t, r.cow); !bytes.Equal(got, r.want) {
		t.Error("the pair reads differently")
	}
	report, err := verifyPath(r.cow)
	must(t, err)
	if !report.OK() || report.Held != 0 || report.Has(MergeUnfinished) {
		t.Errorf("afterwards: %+v", report)
	}
	var stat unix.Stat_t
	must(t, unix.Stat(r.cow, &stat))
	if stat.Blocks > 64 {
		t.Errorf("the empty COW file takes %d blocks", stat.Blocks)
	}
}

// A discarded sector is a hole in the COW file, which must not let the backing
// file's old content through.
func TestMergeHoles(t *testing.T) {
	t.Parallel()
	r := newRig(t, 3, 1<<20, all)
	h, err := Open(r.cow)
	must(t, err)
	f, err := os.OpenFile(r.cow, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	must(t, punch(f, int64(h.DataOffset())+8192, 1<<18))
	clear(r.want[8192 : 8192+1<<18])
	checkExtents(t, r)
	must(t, mergePath(t.Context(), r.cow, nil))
	checkMerged(t, r)
}

func TestMergeTellsProgress(t *testing.T) {
	t.Parallel()
	r := newRig(t, 3, 4<<20, scattered)
	before, err := verifyPath(r.cow)
	must(t, err)
	var last, all int64
	must(t, mergePath(t.Context(), r.cow, func(done, total int64) {
		if done <= last || done > total {
			t.Errorf("%d of %d after %d", done, total, last)
		}
		last, all = done, total
	}))
	if last != all || all != before.Held*sectorSize {
		t.Errorf("the end was at %d of %d, %d sectors", last, all, before.Held)
	}
}

// Other COW files over the backing file must not be taken for valid.
func TestMergeSpoilsTheOthers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	base, one, two := filepath.Join(dir, "base"), filepath.Join(dir, "one"), filepath.Join(dir, "two")
	must(t, os.WriteFile(base, make([]byte, 1<<20), 0o600))
	must(t, Create(one, base))
	must(t, Create(two, base))
	h, err := Open(one)
	must(t, err)
	writeAt(t, one, []byte{1}, int64(h.BitmapOffset()))
	writeAt(t, one, []byte("written"), int64(h.DataOffset()))
	must(t, mergePath(t.Context(), one, nil))
	if _, err := openReader(two); !errors.Is(err, ErrMismatch) {
		t.Errorf("the other COW file: %v", err)
	}
	if got := readAll(t, one); !bytes.HasPrefix(got, []byte("written")) {
		t.Error("the merged sector is lost")
	}
}

// A merge that was cancelled leaves a valid pair, and can be repeated.
func TestMergeCancelled(t *testing.T) {
	t.Parallel()
	r := newRig(t, 3, 4<<20, scattered)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := mergePath(ctx, r.cow, func(done, total int64) {
		if done > total/2 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if report, err := verifyPath(r.cow); err != nil || len(report.Problems) != 0 || report.Held == 0 {
		t.Errorf("%+v, %v", report, err)
	}
	if got := readAll(t, r.cow); !bytes.Equal(got, r.want) {
		t.Error("the pair reads differently")
	}
	must(t, mergePath(t.Context(), r.cow, nil))
	checkMerged(t, r)
}

// crash stops a merge after so many of its steps, without the clean-up that an
// error would bring.
func crash(t *testing.T, r *rig, steps int) {
	t.Helper()
	cow, backing, err := openPaths(r.cow, os.O_RDWR, os.O_RDWR)
	defer closeAll(cow, backing)
	must(t, err)
	p, err := newPair(cow, backing)
	must(t, err)
	half, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, step := range []func() error{
		p.mark,
		func() error {
			err := p.copyHeld(half, p.backing, func(n int64) {
				if n > 0 {
					cancel()
				}
			})
			if !errors.Is(err, context.Canceled) {
				t.Errorf("half a copy: %v", err)
			}
			return nil
		},
		func() error { return p.copyHeld(t.Context(), p.backing, func(int64) {}) },
		p.settle,
		p.empty,
	}[:steps] {
		must(t, step())
	}
}

func TestMergeAfterCrash(t *testing.T) {
	t.Parallel()
	for version := 1; version <= 4; version++ {
		for steps := 1; steps <= 5; steps++ {
			r := newRig(t, version, 1<<20, scattered)
			crash(t, r, steps)
			if got := readAll(t, r.cow); !bytes.Equal(got, r.want) {
				t.Errorf("layout %d, %d steps: the pair reads differently", version, steps)
			}
			must(t, mergePath(t.Context(), r.cow, nil))
			checkMerged(t, r)
		}
	}
}

func TestRepairAfterCrash(t *testing.T) {
	t.Parallel()
	r := newRig(t, 3, 4<<20, scattered)
	crash(t, r, 2)
	if report, err := verifyPath(r.cow); err != nil || report.OK() || !report.Has(MergeUnfinished) {
		t.Errorf("%+v, %v", report, err)
	}
	if report, err := repairPath(t.Context(), r.cow, RepairOptions{}); err != nil || len(report.Problems) != 0 {
		t.Errorf("%+v, %v", report, err)
	}
	if got := readAll(t, r.cow); !bytes.Equal(got, r.want) {
		t.Error("the pair reads differently")
	}
}

// The mark of a merge vouches for one backing file only.
func TestMarkIsOfOneFile(t *testing.T) {
	t.Parallel()
	r := newRig(t, 3, 1<<20, scattered)
	crash(t, r, 2)
	old := r.base + ".old"
	must(t, os.Rename(r.base, old))
	writeSparse(t, r.base, make([]byte, 1<<20))
	if err := mergePath(t.Context(), r.cow, nil); !errors.Is(err, ErrMismatch) {
		t.Errorf("into another file: %v", err)
	}
}

func TestMergeRefuses(t *testing.T) {
	t.Parallel()
	hold := func(t *testing.T, path string, kind filelock.Kind) {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		must(t, err)
		t.Cleanup(func() { f.Close() })
		must(t, filelock.Lock(f, kind))
	}
	tests := []struct {
		name  string
		spoil func(t *testing.T, r *rig)
		want  error
	}{
		{"a guest runs", func(t *testing.T, r *rig) { hold(t, r.cow, filelock.Exclusive) }, ErrBusy},
		{"another guest reads the backing file", func(t *testing.T, r *rig) { hold(t, r.base, filelock.Shared) }, ErrBusy},
		{"backing file changed", func(t *testing.T, r *rig) { writeAt(t, r.base, []byte{1}, 0) }, ErrMismatch},
		{"backing file grown", func(t *testing.T, r *rig) { truncate(t, r.base, 2<<20) }, ErrMismatch},
		{"its own backing file", func(t *testing.T, r *rig) { remove(t, r.base); link(t, r.cow, r.base) }, ErrBusy},
		{"cut short", func(t *testing.T, r *rig) { truncate(t, r.cow, 1<<20) }, ErrDamaged},
		{"not a COW file", func(t *testing.T, r *rig) { writeSparse(t, r.cow, make([]byte, 9000)) }, ErrNotCOW},
	}
	for _, tt := range tests {
		r := newRig(t, 3, 1<<20, scattered)
		tt.spoil(t, r)
		before, err := os.ReadFile(r.base)
		must(t, err)
		if err := mergePath(t.Context(), r.cow, nil); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if after, err := os.ReadFile(r.base); err != nil || !bytes.Equal(after, before) {
			t.Errorf("%s: the backing file was written, %v", tt.name, err)
		}
	}
}

func TestCopyTo(t *testing.T) {
	t.Parallel()
	for _, held := range []func(int64) bool{none, all, scattered} {
		r := newRig(t, 3, 5<<20+100, held)
		path := filepath.Join(t.TempDir(), "out")
		writeSparse(t, path, bytes.Repeat([]byte{9}, 6<<20))
		out, err := os.OpenFile(path, os.O_RDWR, 0)
		must(t, err)
		must(t, copyPath(t.Context(), r.cow, out))
		must(t, out.Close())
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, r.want) {
			t.Errorf("the copy is another, %v", err)
		}
	}
}

func TestCopyToRefuses(t *testing.T) {
	t.Parallel()
	r := newRig(t, 3, 1<<20, scattered)
	for _, path := range []string{r.cow, r.base} {
		out, err := os.OpenFile(path, os.O_RDWR, 0)
		must(t, err)
		if err := copyPath(t.Context(), r.cow, out); err == nil {
			t.Errorf("over %s: no error", path)
		}
		must(t, out.Close())
	}
	if got := readAll(t, r.cow); !bytes.Equal(got, r.want) {
		t.Error("a file was damaged")
	}
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	must(t, err)
	defer out.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := copyPath(ctx, r.cow, out); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// Without copy_file_range and holes everything is read and written.
func TestCopyByHand(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	want := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	path := filepath.Join(dir, "in")
	writeSparse(t, path, want)
	in, err := os.Open(path)
	must(t, err)
	defer in.Close()
	out, err := os.Create(filepath.Join(dir, "out"))
	must(t, err)
	defer out.Close()
	if n, err := copyByHand(out, 100, in, 50, 1000); n != 1000 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	got := make([]byte, 1100)
	if _, err := out.ReadAt(got, 0); err != nil || !bytes.Equal(got[100:], want[50:1050]) {
		t.Errorf("another content, %v", err)
	}
}

func TestReflink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "in"), []byte("content"), 0o600))
	in, err := os.Open(filepath.Join(dir, "in"))
	must(t, err)
	defer in.Close()
	out, err := os.Create(filepath.Join(dir, "out"))
	must(t, err)
	defer out.Close()
	// Both answers are right; which one depends on the filesystem.
	switch err := Reflink(out, in); {
	case err == nil:
		if got, err := os.ReadFile(out.Name()); err != nil || string(got) != "content" {
			t.Errorf("%q, %v", got, err)
		}
	case !errors.Is(err, errors.ErrUnsupported):
		t.Error(err)
	}
	if err := Reflink(in, out); err == nil {
		t.Error("to a file open for reading")
	}
}
