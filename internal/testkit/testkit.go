// Package testkit runs a real virtumld with real guests and drives it with
// stock virsh, as root and as an ordinary user. Each daemon has folders of its
// own, so tests disturb neither one another nor the machine. Only tests import
// it; it knows nothing of the daemon's insides.
package testkit

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Patience is how long any one thing may take before a test has failed. It is
// long because a slow machine is no fault of the daemon.
const Patience = 60 * time.Second

// Main is the whole TestMain of a package that uses testkit: it runs the
// tests, removes what they shared, and fails when a process is left behind.
//
//	func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }
func Main(m *testing.M) int {
	// Orphans come to this process, so that none of them can hide.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		fmt.Fprintln(os.Stderr, "testkit: cannot become a subreaper:", err)
		return 1
	}
	code := m.Run()
	if left := killLeftovers(); left != "" {
		fmt.Fprintf(os.Stderr, "FAIL: processes were left running:\n%s", left)
		code = max(code, 1)
	}
	if err := removeShared(); err != nil {
		fmt.Fprintln(os.Stderr, "FAIL: testkit cannot clean up:", err)
		code = max(code, 1)
	}
	return code
}

// tierEnv lists the tiers that must run, such as "root,user": a test that
// would be skipped fails instead. CI sets it.
const tierEnv = "VIRTUMLD_TEST_TIERS"

// skipTier skips a test, or fails it where its tier must run.
func skipTier(t testing.TB, tier, reason string) {
	t.Helper()
	if slices.Contains(strings.Split(os.Getenv(tierEnv), ","), tier) {
		t.Fatalf("the tier %q must run (%s), but cannot: %s", tier, tierEnv, reason)
	}
	t.Skipf("tier %q: %s", tier, reason)
}

// shared is what all tests of one process use: the folder of the daemon's
// binary and of the root filesystem.
var shared struct {
	sync.Mutex
	dir string
}

// sharedDir is a folder that every user may read, made once.
func sharedDir(t testing.TB) string {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.dir == "" {
		dir, err := os.MkdirTemp("", "vmlshared")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		shared.dir = dir
	}
	return shared.dir
}

func removeShared() error {
	shared.Lock()
	defer shared.Unlock()
	if err := removeAccount(); err != nil {
		return err
	}
	return os.RemoveAll(shared.dir)
}

// Module is the folder of go.mod.
func Module(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("the tests must run inside the module's folder: no go.mod found above")
		}
		dir = filepath.Dir(dir)
	}
}
