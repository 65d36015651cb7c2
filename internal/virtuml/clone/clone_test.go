package clone

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"virtumld/internal/cow"
)

// run runs one of the commands on files, which need no daemon.
func run(args ...string) (string, error) {
	var out bytes.Buffer
	for _, cmd := range Commands() {
		if cmd.Name() == args[0] {
			cmd.SetArgs(args[1:])
			cmd.SetOut(&out)
			cmd.SetErr(&out)
			err := cmd.Execute()
			return out.String(), err
		}
	}
	panic("no command " + args[0])
}

func pair(t *testing.T) (path, backing string) {
	t.Helper()
	dir := t.TempDir()
	backing = filepath.Join(dir, "base")
	if err := os.WriteFile(backing, bytes.Repeat([]byte("x"), 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(dir, "clone")
	if err := cow.Create(path, backing); err != nil {
		t.Fatal(err)
	}
	return path, backing
}

func TestCheck(t *testing.T) {
	path, backing := pair(t)
	if out, err := run("check", path); err != nil || !strings.Contains(out, "nothing is wrong") {
		t.Fatalf("a sound clone: %q, %v", out, err)
	}
	then := time.Now().Add(-time.Hour)
	if err := os.Chtimes(backing, then, then); err != nil {
		t.Fatal(err)
	}
	if out, err := run("check", "--json", path); err == nil || !strings.Contains(out, `"kind":"backing-mtime"`) {
		t.Errorf("a backing file that was touched: %q, %v", out, err)
	}
	if out, err := run("check", "--refresh-mtime", path); err == nil {
		t.Errorf("--refresh-mtime without --repair: %q", out)
	}
	if out, err := run("check", "--repair", "--refresh-mtime", path); err != nil {
		t.Errorf("repair: %q, %v", out, err)
	}
	for _, command := range []string{"check", "merge", "check"} {
		if out, err := run(command, path); err != nil {
			t.Errorf("%s after the repair: %q, %v", command, out, err)
		}
	}
}

func TestRefusals(t *testing.T) {
	_, backing := pair(t)
	for _, args := range [][]string{{"check", backing}, {"merge", backing}, {"rebase", backing, backing}} {
		if out, err := run(args...); err == nil {
			t.Errorf("%q of a raw file: %q", args, out)
		}
	}
}

// What a header names elsewhere is neither read nor written without the
// user's word.
func TestForgedHeader(t *testing.T) {
	const nobody = "uml+unix:///system?socket=/nowhere"
	path, backing := pair(t)
	far := filepath.Join(t.TempDir(), "clone")
	if err := cow.Create(far, backing); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(far)
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"merge", far}, {"rebase", far, backing}, {"check", far}, {"check", "--repair", far}} {
		out, err := run(append(args, "--connect", nobody)...)
		if err == nil || !strings.Contains(err.Error(), "--backing") {
			t.Errorf("%q: %q, %v", args, out, err)
		}
	}
	if after, err := os.ReadFile(far); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file was changed, %v", err)
	}
	for _, args := range [][]string{{"check", far}, {"rebase", far, backing}, {"merge", far}} {
		if out, err := run(append(args, "--backing", backing)...); err != nil {
			t.Errorf("%q with the user's word: %q, %v", args, out, err)
		}
	}
	if out, err := run("rebase", "--unsafe", path, backing, "--connect", nobody); err != nil {
		t.Errorf("rebase --unsafe, which opens no old backing file: %q, %v", out, err)
	}
}
