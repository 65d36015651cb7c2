package supervisor_test

import (
	"os"
	"testing"

	"virtumld/internal/supervisor"
)

// TestMain lets the test binary be the supervisor and the second stage.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case supervisor.Command:
			os.Exit(supervisor.Main(os.Args[2:]))
		case supervisor.InitCommand:
			os.Exit(supervisor.InitMain(os.Args[2:]))
		case supervisor.ChangeCommand:
			os.Exit(supervisor.ChangeMain())
		}
	}
	os.Exit(m.Run())
}
