package virtuml

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The man pages are those of today's commands: "go generate" makes them.
func TestManPagesAreCurrent(t *testing.T) {
	kept, made := filepath.Join("..", "..", "docs", "man"), t.TempDir()
	if out, err := exec.Command("go", "run", "./gen", made).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := exec.Command("diff", "-ru", kept, made).CombinedOutput(); err != nil {
		t.Errorf("run go generate ./internal/virtuml: %v\n%s", err, out)
	}
	if entries, err := os.ReadDir(made); err != nil || len(entries) == 0 {
		t.Errorf("%d man pages, %v", len(entries), err)
	}
}
