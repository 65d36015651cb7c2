package cow

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"virtumld/internal/filelock"
)

// otherBase is a backing file of the same size: some blocks are the same, some
// differ, and holes lie elsewhere.
func otherBase(t *testing.T, r *rig) string {
	t.Helper()
	content, err := os.ReadFile(r.base)
	must(t, err)
	for at := 0; at < len(content); at += 5 * 4096 {
		fill(content[at:min(at+700, len(content))], 77)
	}
	clear(content[len(content)/2 : len(content)/2+len(content)/4])
	path := filepath.Join(t.TempDir(), "other")
	writeSparse(t, path, content)
	return path
}

func TestRebase(t *testing.T) {
	t.Parallel()
	for _, version := range []int{2, 3, 4} {
		for _, held := range []func(int64) bool{none, all, scattered} {
			for _, size := range []int64{17<<20 + 300, 2 << 20} {
				if version != 3 && size%4096 != 0 {
					continue // version 2 has no bits for the last sectors
				}
				r := newRig(t, version, size, held)
				other := otherBase(t, r)
				before, err := os.ReadFile(other)
				must(t, err)
				var last, all int64
				must(t, rebasePath(t.Context(), r.cow, other, false, func(done, total int64) { last, all = done, total }))
				if last != size || all != size {
					t.Errorf("layout %d: progress ended at %d of %d", version, last, all)
				}
				if got := readAll(t, r.cow); !bytes.Equal(got, r.want) {
					t.Errorf("layout %d, %d bytes: another content", version, size)
				}
				if h, err := Open(r.cow); err != nil || h.Backing != other {
					t.Errorf("layout %d: %+v, %v", version, h, err)
				}
				if after, err := os.ReadFile(other); err != nil || !bytes.Equal(after, before) {
					t.Errorf("layout %d: the new backing file was written, %v", version, err)
				}
			}
		}
	}
}

// The first layout has room for short paths only.
func TestRebaseVersion1(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1, 4<<20, scattered)
	long := filepath.Join(t.TempDir(), string(bytes.Repeat([]byte("x"), 240)))
	must(t, os.Rename(r.base, long))
	if err := rebasePath(t.Context(), r.cow, long, true, nil); err == nil {
		t.Error("a path longer than the field")
	}
	must(t, os.Rename(long, r.base+"2"))
	must(t, rebasePath(t.Context(), r.cow, r.base+"2", true, nil))
	if got := readAll(t, r.cow); !bytes.Equal(got, r.want) {
		t.Error("another content")
	}
}

func TestRebaseCopiesOnlyDifferences(t *testing.T) {
	t.Parallel()
	r := newRig(t, 3, 4<<20, none)
	content, err := os.ReadFile(r.base)
	must(t, err)
	content[1<<20] ^= 1
	content[3<<20] ^= 1
	other := filepath.Join(t.TempDir(), "other")
	writeSparse(t, other, content)
	must(t, rebasePath(t.Context(), r.cow, other, false, nil))
	if report, err := verifyPath(r.cow); err != nil || report.Held != 2 {
		t.Errorf("%+v, %v", report, err)
	}
}

func TestRebaseUnsafe(t *testing.T) {
	t.Parallel()
	for version := 1; version <= 4; version++ {
		r := newRig(t, version, 4<<20, scattered)
		moved := filepath.Join(t.TempDir(), "moved")
		content, err := os.ReadFile(r.base)
		must(t, err)
		writeSparse(t, moved, content)
		remove(t, r.base)
		if err := rebasePath(t.Context(), r.cow, moved, false, nil); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("safe, without the old backing file: %v", err)
		}
		must(t, rebasePath(t.Context(), r.cow, moved, true, nil))
		if got := readAll(t, r.cow); !bytes.Equal(got, r.want) {
			t.Errorf("layout %d: another content", version)
		}
	}
}

// A rebase that was cancelled leaves the old pair as it was.
func TestRebaseCancelled(t *testing.T) {
	t.Parallel()
	r := newRig(t, 3, 34<<20, none)
	other := otherBase(t, r)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := rebasePath(ctx, r.cow, other, false, func(int64, int64) { cancel() }); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if h, err := Open(r.cow); err != nil || h.Backing != r.base {
		t.Errorf("%+v, %v", h, err)
	}
	if got := readAll(t, r.cow); !bytes.Equal(got, r.want) {
		t.Error("another content")
	}
	must(t, rebasePath(t.Context(), r.cow, other, false, nil))
	if got := readAll(t, r.cow); !bytes.Equal(got, r.want) {
		t.Error("another content at last")
	}
}

func TestRebaseRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		spoil func(t *testing.T, r *rig, other string)
		want  error
	}{
		{"another size", func(t *testing.T, r *rig, other string) { truncate(t, other, 512) }, ErrMismatch},
		{"missing", func(t *testing.T, r *rig, other string) { remove(t, other) }, os.ErrNotExist},
		{"a folder", func(t *testing.T, r *rig, other string) { remove(t, other); mkdir(t, other) }, ErrMismatch},
		{"a COW file", func(t *testing.T, r *rig, other string) { writeAt(t, other, v3("/x", 1, 1<<20), 0) }, ErrMismatch},
		{"old backing file changed", func(t *testing.T, r *rig, other string) { writeAt(t, r.base, []byte{1}, 0) }, ErrMismatch},
		{"cut short", func(t *testing.T, r *rig, other string) { truncate(t, r.cow, 1<<20) }, ErrDamaged},
		{"a guest runs", func(t *testing.T, r *rig, other string) {
			f, err := os.OpenFile(r.cow, os.O_RDWR, 0)
			must(t, err)
			t.Cleanup(func() { f.Close() })
			must(t, filelock.Lock(f, filelock.Exclusive))
		}, ErrBusy},
		{"a guest writes the new backing file", func(t *testing.T, r *rig, other string) {
			f, err := os.OpenFile(other, os.O_RDWR, 0)
			must(t, err)
			t.Cleanup(func() { f.Close() })
			must(t, filelock.Lock(f, filelock.Exclusive))
		}, ErrBusy},
	}
	for _, tt := range tests {
		r := newRig(t, 3, 1<<20, scattered)
		other := otherBase(t, r)
		tt.spoil(t, r, other)
		before, err := os.ReadFile(r.cow)
		must(t, err)
		if err := rebasePath(t.Context(), r.cow, other, false, nil); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if after, err := os.ReadFile(r.cow); err != nil || !bytes.Equal(after, before) {
			t.Errorf("%s: the COW file was written, %v", tt.name, err)
		}
	}
	r := newRig(t, 3, 1<<20, scattered)
	for _, path := range []string{r.cow, "base"} {
		if err := rebasePath(t.Context(), r.cow, path, true, nil); err == nil {
			t.Errorf("to %s: no error", path)
		}
	}
}

// The second layout has no bits for the last sectors of some disks.
func TestRebaseWithoutBits(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2, 1<<20+512, none)
	content, err := os.ReadFile(r.base)
	must(t, err)
	content[len(content)-1] ^= 1
	other := filepath.Join(t.TempDir(), "other")
	writeSparse(t, other, content)
	if err := rebasePath(t.Context(), r.cow, other, false, nil); err == nil {
		t.Error("the last sector cannot be kept")
	}
	if got := readAll(t, r.cow); !bytes.Equal(got, r.want) {
		t.Error("another content")
	}
}
