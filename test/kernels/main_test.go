// Package kernels tests guests of every kernel that there is: the installed
// one always, newer ones where scripts/newer-kernels.sh could fetch them or
// the environment names them. What differs between kernels is tested here, the
// daemon's own behaviour in test/e2e.
package kernels

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"virtumld/internal/testkit"
	"virtumld/internal/uml/kernel"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

const (
	// kernelsEnv names the newer kernels: paths with colons between them.
	kernelsEnv = "VIRTUMLD_TEST_KERNELS"
	// cacheEnv names the folder of scripts/newer-kernels.sh if it is not
	// the script's own choice.
	cacheEnv = "VIRTUMLD_KERNEL_CACHE"
)

// subject is a kernel under test.
type subject struct {
	*kernel.Caps
	// unavailable says why there is none.
	name, unavailable string
}

// subjects are the kernels under test.
func subjects(t *testing.T) []subject {
	t.Helper()
	list := []subject{probed(t, "installed", testkit.Kernel(t))}
	if named := os.Getenv(kernelsEnv); named != "" {
		for i, path := range filepath.SplitList(named) {
			list = append(list, probed(t, fmt.Sprint("named", i), path))
		}
		return list
	}
	for _, suite := range []string{"trixie", "sid"} {
		dir := filepath.Join(cache(), suite)
		if _, err := os.Stat(filepath.Join(dir, "linux")); err == nil {
			list = append(list, probed(t, suite, filepath.Join(dir, "linux")))
			continue
		}
		reason, err := os.ReadFile(filepath.Join(dir, "missing"))
		if err != nil {
			reason = []byte("run make newer-kernels to fetch it")
		}
		list = append(list, subject{name: suite, unavailable: strings.TrimSpace(string(reason))})
	}
	return list
}

func cache() string {
	if dir := os.Getenv(cacheEnv); dir != "" {
		return dir
	}
	return fmt.Sprintf("/var/tmp/virtumld-kernels-%d", os.Getuid())
}

func probed(t *testing.T, name, path string) subject {
	t.Helper()
	caps, err := kernel.NewProber("", nil).Probe(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return subject{Caps: caps, name: name}
}

// eachKernel runs a test for every kernel.
func eachKernel(t *testing.T, test func(t *testing.T, k subject)) {
	t.Helper()
	for _, k := range subjects(t) {
		t.Run(k.name, func(t *testing.T) {
			if k.unavailable != "" {
				t.Skip("no such kernel: " + k.unavailable)
			}
			test(t, k)
		})
	}
}

// each runs a test for every kernel, with a daemon of root's and with one of
// an ordinary user's.
func each(t *testing.T, test func(t *testing.T, d *testkit.Daemon, k subject)) {
	t.Helper()
	eachKernel(t, func(t *testing.T, k subject) {
		testkit.Each(t, func(t *testing.T, d *testkit.Daemon) { test(t, d, k) })
	})
}
