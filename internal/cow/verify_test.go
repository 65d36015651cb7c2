package cow

import (
	"bytes"
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"virtumld/internal/filelock"
)

func TestVerifyAndRepair(t *testing.T) {
	t.Parallel()
	const size = 1<<20 + 700
	later := time.Unix(1_700_000_000, 0)
	everything := RepairOptions{AcceptLoss: true, RefreshMtime: true}
	tests := []struct {
		name    string
		version int
		spoil   func(t *testing.T, r *rig)
		want    []Kind // of Verify
		plain   []Kind // left by Repair without options
		left    []Kind // left by Repair that may do all
	}{
		{"whole", 3, func(t *testing.T, r *rig) {}, nil, nil, nil},
		{"first layout", 1, func(t *testing.T, r *rig) {}, []Kind{OldVersion}, []Kind{OldVersion}, []Kind{OldVersion}},
		{"cut within the data", 3, func(t *testing.T, r *rig) { truncate(t, r.cow, 500_000) },
			[]Kind{DataLost}, []Kind{DataLost}, nil},
		{"cut within the bitmap", 3, func(t *testing.T, r *rig) { truncate(t, r.cow, 8200) },
			[]Kind{DataLost}, []Kind{DataLost}, nil},
		{"cut within the header", 3, func(t *testing.T, r *rig) { truncate(t, r.cow, 500) },
			[]Kind{BadHeader}, []Kind{BadHeader}, []Kind{BadHeader}},
		{"only holes cut", 3, func(t *testing.T, r *rig) { r.writeCOW(t, 3, none); truncate(t, r.cow, 500_000) },
			[]Kind{CutShort}, nil, nil},
		{"bits behind the end", 3, func(t *testing.T, r *rig) { writeAt(t, r.cow, []byte{0xff}, lastBit(t, r)) },
			[]Kind{BitsBeyondEnd}, nil, nil},
		{"backing file missing", 3, func(t *testing.T, r *rig) { remove(t, r.base) },
			[]Kind{BackingMissing}, []Kind{BackingMissing}, []Kind{BackingMissing}},
		{"path relative", 3, func(t *testing.T, r *rig) { writeAt(t, r.cow, []byte("base\x00"), 32) },
			[]Kind{BackingPath}, []Kind{BackingPath}, []Kind{BackingPath}},
		{"backing file grown", 3, func(t *testing.T, r *rig) { truncate(t, r.base, 2*size) },
			[]Kind{BackingSize}, []Kind{BackingSize}, []Kind{BackingSize}},
		{"backing file touched", 3, func(t *testing.T, r *rig) { must(t, os.Chtimes(r.base, later, later)) },
			[]Kind{BackingMtime}, []Kind{BackingMtime}, nil},
		{"touched, first layout", 1, func(t *testing.T, r *rig) { must(t, os.Chtimes(r.base, later, later)) },
			[]Kind{OldVersion, BackingMtime}, []Kind{OldVersion, BackingMtime}, []Kind{OldVersion}},
		{"touched, second layout", 2, func(t *testing.T, r *rig) { must(t, os.Chtimes(r.base, later, later)) },
			[]Kind{OldVersion, BackingMtime}, []Kind{OldVersion, BackingMtime}, []Kind{OldVersion}},
		{"touched, layout of 2005", 4, func(t *testing.T, r *rig) { must(t, os.Chtimes(r.base, later, later)) },
			[]Kind{BackingMtime}, []Kind{BackingMtime}, nil},
		{"itself by name", 3, func(t *testing.T, r *rig) { writeAt(t, r.cow, append([]byte(r.cow), 0), 32) },
			[]Kind{BackingSelf}, []Kind{BackingSelf}, []Kind{BackingSelf}},
		{"itself by hard link", 3, func(t *testing.T, r *rig) { remove(t, r.base); link(t, r.cow, r.base) },
			[]Kind{BackingSelf}, []Kind{BackingSelf}, []Kind{BackingSelf}},
		{"itself by symlink", 3, func(t *testing.T, r *rig) { remove(t, r.base); symlink(t, r.cow, r.base) },
			[]Kind{BackingSelf}, []Kind{BackingSelf}, []Kind{BackingSelf}},
		{"over a COW file", 3, func(t *testing.T, r *rig) { writeAt(t, r.base, v3("/x", 1, 4096), 0) },
			[]Kind{BackingUnfit}, []Kind{BackingUnfit}, []Kind{BackingUnfit}},
		{"over a folder", 3, func(t *testing.T, r *rig) { remove(t, r.base); mkdir(t, r.base) },
			[]Kind{BackingUnfit}, []Kind{BackingUnfit}, []Kind{BackingUnfit}},
		{"sectors of 1024 bytes", 3, func(t *testing.T, r *rig) { writeAt(t, r.cow, []byte{0, 0, 4, 0}, 20) },
			[]Kind{BadHeader}, []Kind{BadHeader}, []Kind{BadHeader}},
		{"two at once", 3, func(t *testing.T, r *rig) {
			writeAt(t, r.cow, []byte{0xff}, lastBit(t, r))
			must(t, os.Chtimes(r.base, later, later))
		}, []Kind{BitsBeyondEnd, BackingMtime}, []Kind{BackingMtime}, nil},
	}
	for _, tt := range tests {
		r := newRig(t, tt.version, size, scattered)
		tt.spoil(t, r)
		report, err := verifyPath(r.cow)
		must(t, err)
		expect(t, tt.name+", verified", report, tt.want)
		report, err = repairPath(t.Context(), r.cow, RepairOptions{})
		must(t, err)
		expect(t, tt.name+", repaired", report, tt.plain)
		report, err = repairPath(t.Context(), r.cow, everything)
		must(t, err)
		expect(t, tt.name+", repaired in full", report, tt.left)
		for _, p := range report.Problems {
			if p.Repairable {
				t.Errorf("%s: %s can be repaired and was not", tt.name, p.Kind)
			}
		}
		checkReadable(t, tt.name, r, report)
	}
}

// checkReadable looks whether a good report and openReader agree.
func checkReadable(t *testing.T, name string, r *rig, report *Report) {
	t.Helper()
	reader, err := openReader(r.cow)
	if (err == nil) != report.OK() {
		t.Errorf("%s: the report is good: %v, but opening says %v", name, report.OK(), err)
	}
	if err == nil {
		reader.Close()
	}
}

func expect(t *testing.T, name string, report *Report, want []Kind) {
	t.Helper()
	if len(report.Problems) != len(want) {
		t.Errorf("%s: %+v, want %v", name, report.Problems, want)
		return
	}
	for i, p := range report.Problems {
		if p.Kind != want[i] || p.Text == "" || !report.Has(want[i]) {
			t.Errorf("%s: %+v, want %v", name, p, want[i])
		}
	}
}

func lastBit(t *testing.T, r *rig) int64 {
	t.Helper()
	h, err := Open(r.cow)
	must(t, err)
	return lastBitmapByte(h)
}

func TestVerifyCountsHeld(t *testing.T) {
	t.Parallel()
	r := newRig(t, 3, 5<<20, func(s int64) bool { return s%10 == 0 })
	if report, err := verifyPath(r.cow); err != nil || report.Held != 1024 {
		t.Errorf("%+v, %v", report, err)
	}
}

func TestRepairKeepsContent(t *testing.T) {
	t.Parallel()
	r := newRig(t, 3, 1<<20+700, scattered)
	writeAt(t, r.cow, []byte{0xff}, lastBit(t, r)) // held, and behind the end
	later := time.Unix(1_700_000_000, 0)
	must(t, os.Chtimes(r.base, later, later))
	if _, err := repairPath(t.Context(), r.cow, RepairOptions{RefreshMtime: true}); err != nil {
		t.Fatal(err)
	}
	got := readAll(t, r.cow)
	end := len(r.want) / (8 * sectorSize) * 8 * sectorSize // of what the last byte is about
	if !bytes.Equal(got[:end], r.want[:end]) {
		t.Error("another content")
	}
}

func TestVerifyRefuses(t *testing.T) {
	t.Parallel()
	r := newRig(t, 3, 1<<20, none)
	if _, err := verifyPath(r.base); !errors.Is(err, ErrNotCOW) {
		t.Errorf("a raw image: %v", err)
	}
	if _, err := verifyPath(t.TempDir()); err == nil {
		t.Error("a folder: no error")
	}
	if _, err := verifyPath(r.cow + "2"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
}

func TestRepairRefuses(t *testing.T) {
	t.Parallel()
	r := newRig(t, 3, 1<<20, none)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	writeAt(t, r.base, []byte{1}, 0)
	if _, err := repairPath(ctx, r.cow, RepairOptions{RefreshMtime: true}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	f, err := os.OpenFile(r.cow, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	must(t, filelock.Lock(f, filelock.Exclusive))
	if _, err := repairPath(t.Context(), r.cow, RepairOptions{RefreshMtime: true}); !errors.Is(err, ErrBusy) {
		t.Errorf("while a guest runs: %v", err)
	}
}

func TestFilesVariants(t *testing.T) {
	t.Parallel()
	r := newRig(t, 3, 1<<20, scattered)
	cow, err := os.OpenFile(r.cow, os.O_RDWR, 0)
	must(t, err)
	defer cow.Close()
	writeAt(t, r.base, []byte{r.want[0]}, 0)
	base, err := os.Open(r.base)
	must(t, err)
	defer base.Close()
	report, err := Verify(cow, nil)
	must(t, err)
	expect(t, "without a backing file", report, []Kind{BackingMissing})
	report, err = Verify(cow, base)
	must(t, err)
	expect(t, "touched", report, []Kind{BackingMtime})
	report, err = Repair(t.Context(), cow, base, RepairOptions{RefreshMtime: true})
	must(t, err)
	expect(t, "repaired", report, nil)
	if err := Merge(t.Context(), cow, base, nil); err == nil {
		t.Error("merged into a file open for reading")
	}
}

func TestCreateFile(t *testing.T) {
	t.Parallel()
	r := newRig(t, 3, 1<<20, none)
	info, err := os.Stat(r.base)
	must(t, err)
	f, err := os.Create(r.cow + "2")
	must(t, err)
	defer f.Close()
	must(t, CreateFile(f, r.base, info))
	if got := readAll(t, f.Name()); !bytes.Equal(got, r.want) {
		t.Error("another content")
	}
	if err := CreateFile(f, r.base, info); err == nil {
		t.Error("over a file that is not empty")
	}
	if err := CreateFile(f, "base", info); err == nil {
		t.Error("over a relative path")
	}
}
