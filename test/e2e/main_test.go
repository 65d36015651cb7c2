// Package e2e tests what a user sees: stock virsh against a real virtumld with
// real kernels, as root and as an ordinary user.
package e2e

import (
	"os"
	"testing"

	"virtumld/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }
