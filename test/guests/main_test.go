// Package guests tests what happens inside real guests and around them: their
// lines, disks, shares, boots, ends and confinement, as stock virsh asks for
// them, as root and as an ordinary user.
package guests

import (
	"os"
	"testing"

	"virtumld/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

// write writes a file on the host.
func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// read reads a file of the host.
func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
