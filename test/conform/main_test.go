// Package conform holds virtumld to libvirt: what stock clients get for every
// command and error, and that no client, document or full disk harms it. The
// daemon, the kernels and the clients are real.
package conform

import (
	"os"
	"testing"

	"virtumld/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }
