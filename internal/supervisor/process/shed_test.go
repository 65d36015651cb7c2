package process

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// residentFiles is how much of mapped files is resident, in KiB.
func residentFiles(t *testing.T) (size int) {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(status), "RssFile:")
	if _, err := fmt.Sscanf(rest, "%d kB", &size); !found || err != nil {
		t.Fatalf("no RssFile: %v", err)
	}
	return size
}

func TestShed(t *testing.T) {
	before := residentFiles(t)
	if err := Shed(); err != nil {
		t.Fatal(err)
	}
	if after := residentFiles(t); after >= before {
		t.Errorf("%d KiB are resident, %d before", after, before)
	}
}
