// Package storage tests storage pools and volumes as users handle them: with
// stock virsh, as root and as an ordinary user.
package storage

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"virtumld/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

// pool makes, starts and fills nothing: an empty pool of that name, below the
// daemon's folder. It returns the pool's folder.
func pool(d *testkit.Daemon, name string) string {
	target := filepath.Join(d.Dir, "pools", name)
	d.OK("pool-define-as", name, "dir", "--target", target)
	d.OK("pool-build", name)
	d.OK("pool-start", name)
	return target
}

// fields are the lines "Name:   value" of a virsh command, by name.
func fields(d *testkit.Daemon, args ...string) map[string]string {
	out := make(map[string]string)
	for _, line := range d.Lines(args...) {
		name, value, _ := strings.Cut(line, ":")
		out[name] = strings.TrimSpace(value)
	}
	return out
}

// bytesOf is one size of "vol-info --bytes".
func bytesOf(d *testkit.Daemon, field string, args ...string) string {
	return fields(d, append([]string{"vol-info", "--bytes"}, args...)...)[field]
}

// wants checks a list, in any order.
func wants(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// allocated is how many bytes of disk a file takes.
func allocated(t *testing.T, path string) int64 {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Blocks * 512
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
