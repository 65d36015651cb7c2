package guests

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// status is a line of /proc/PID/status (proc(5)).
func status(t *testing.T, pid int, key string) string {
	t.Helper()
	for line := range strings.Lines(read(t, fmt.Sprintf("/proc/%d/status", pid))) {
		if value, ok := strings.CutPrefix(line, key+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	t.Fatalf("/proc/%d/status has no %s", pid, key)
	return ""
}

// statusNumber is the first number of such a line.
func statusNumber(t *testing.T, pid int, key string, base int) int {
	t.Helper()
	value := status(t, pid, key)
	n, err := strconv.ParseUint(strings.Fields(value)[0], base, 63)
	if err != nil {
		t.Fatalf("%s of process %d is %q", key, pid, value)
	}
	return int(n)
}
