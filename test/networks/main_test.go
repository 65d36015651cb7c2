// Package networks tests virtual networks as users handle them: with stock
// virsh, as root and as an ordinary user.
package networks

import (
	"os"
	"testing"

	"virtumld/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }
