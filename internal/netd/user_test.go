package netd

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"virtumld/internal/usernet"
)

// A process of an unprivileged user has one right left, in all its threads; one
// with C in its binary has none. Neither can get another.
func TestUser(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can become another user")
	}
	t.Run("plain", func(t *testing.T) { t.Parallel(); testUser(t, "0", "0000000000000400") })
	t.Run("cgo", func(t *testing.T) { t.Parallel(); testUser(t, "1", "0000000000000000") })
}

func testUser(t *testing.T, cgo, rights string) {
	const user = 65534
	// Its lease file must be in reach of the user.
	top, err := os.MkdirTemp("", "netd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(top) })
	if err := os.Chmod(top, 0o711); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(top, "virtumld")
	build := exec.Command("go", "build", "-o", binary, "virtumld/cmd/virtumld")
	build.Env = append(os.Environ(), "CGO_ENABLED="+cgo)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	leases := filepath.Join(top, "leases", "t")
	p, err := Start(bounded(t), binary, &Spec{
		Name: "t", Dir: filepath.Join(top, "net"), User: &User{UID: user, GID: user},
		Gateway: &usernet.Config{
			Name: "t", MAC: "52:54:00:00:00:01", MTU: 1500, LeaseFile: leases,
			Subnets: []usernet.Subnet{{Gateway: netip.MustParsePrefix("10.0.0.1/24")}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(bounded(t)); err != nil {
			t.Error(err)
		}
	})
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", p.PID()))
	if err != nil || len(threads) == 0 {
		t.Fatalf("%d threads, %v", len(threads), err)
	}
	for _, thread := range threads {
		text, err := os.ReadFile(thread)
		if err != nil {
			continue // it has just ended
		}
		for _, want := range []string{
			"Uid:\t65534\t65534\t65534\t65534\n", "Gid:\t65534\t65534\t65534\t65534\n", "NoNewPrivs:\t1\n",
			"CapPrm:\t" + rights + "\n", "CapEff:\t" + rights + "\n",
		} {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s has no %q", thread, want)
			}
		}
	}
	if _, err := dial(t, filepath.Join(top, "net")).State(bounded(t)); err != nil {
		t.Error(err)
	}
}
