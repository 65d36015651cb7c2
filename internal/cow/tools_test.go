package cow

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The tools of Debian's uml-utilities are the other implementation.

func runTool(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
}

func TestMkcowAgrees(t *testing.T) {
	t.Parallel()
	for _, size := range []int64{512, 100_001, 64 << 20} {
		dir := t.TempDir()
		base, theirs, ours := filepath.Join(dir, "base"), filepath.Join(dir, "theirs"), filepath.Join(dir, "ours")
		writeSparse(t, base, bytes.Repeat([]byte{5}, 512))
		truncate(t, base, size)
		runTool(t, "uml_mkcow", theirs, base)
		must(t, Create(ours, base))
		a, err := os.ReadFile(theirs)
		must(t, err)
		b, err := os.ReadFile(ours)
		must(t, err)
		// Garbage may stand behind the path's NUL.
		pathEnd := 32 + len(base) + 1
		if len(a) != len(b) || !bytes.Equal(a[:pathEnd], b[:pathEnd]) || !bytes.Equal(a[4128:], b[4128:]) {
			t.Errorf("%d bytes: the files differ", size)
		}
		report, err := verifyPath(theirs)
		must(t, err)
		if len(report.Problems) != 0 {
			t.Errorf("%d bytes: %+v", size, report.Problems)
		}
		want, err := os.ReadFile(base)
		must(t, err)
		if !bytes.Equal(readAll(t, theirs), want) {
			t.Errorf("%d bytes: another content", size)
		}
	}
}

func TestMooAgrees(t *testing.T) {
	t.Parallel()
	for _, held := range []func(int64) bool{none, all, scattered} {
		r := newRig(t, 3, 5<<20, held)
		out := filepath.Join(t.TempDir(), "out")
		runTool(t, "uml_moo", r.cow, out)
		got, err := os.ReadFile(out)
		must(t, err)
		if !bytes.Equal(got, r.want) {
			t.Error("uml_moo reads another content")
		}
		runTool(t, "uml_moo", "-d", r.cow)
		theirs, err := os.ReadFile(r.base)
		must(t, err)
		if !bytes.Equal(theirs, r.want) {
			t.Error("uml_moo -d merges another content")
		}
	}
}

// After a merge the tool still takes the pair.
func TestMooAfterMerge(t *testing.T) {
	t.Parallel()
	r := newRig(t, 3, 5<<20, scattered)
	must(t, mergePath(t.Context(), r.cow, nil))
	out := filepath.Join(t.TempDir(), "out")
	runTool(t, "uml_moo", r.cow, out)
	if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, r.want) {
		t.Errorf("another content, %v", err)
	}
}
