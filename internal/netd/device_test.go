package netd

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A process of an unprivileged user keeps the right to change its macvtap and
// to remove it.
func TestMacvtapOfUser(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can make devices")
	}
	lower, name := fmt.Sprint("vl", os.Getpid()), fmt.Sprint("vm", os.Getpid())
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: lower}, PeerName: fmt.Sprint("vp", os.Getpid())}
	if err := netlink.LinkAdd(veth); errors.Is(err, unix.EOPNOTSUPP) {
		t.Skipf("the host's kernel has no devices of type veth: %v", err)
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := netlink.LinkDel(veth); err != nil {
			t.Error(err)
		}
	})
	top := t.TempDir()
	// The test's own binary may have been built with cgo, which keeps no right.
	binary := filepath.Join(top, "virtumld")
	build := exec.Command("go", "build", "-o", binary, "virtumld/cmd/virtumld")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	spec := &Spec{
		Name: "t", Dir: filepath.Join(top, "net"), User: &User{UID: 65534, GID: 65534},
		Tap: &Tap{Name: name, Direct: lower, Mode: "bridge", MAC: "52:54:00:00:00:01"},
	}
	p, err := Start(bounded(t), binary, spec)
	if err != nil && strings.Contains(err.Error(), unix.EOPNOTSUPP.Error()) {
		t.Skipf("the host's kernel has no devices of type macvtap: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, down := range []bool{true, false} {
		spec.Tap.Down = down
		if err := dial(t, spec.Dir).Configure(bounded(t), spec); err != nil {
			t.Error(err)
		}
		if link, err := netlink.LinkByName(name); err != nil || link.Attrs().Flags&net.FlagUp == 0 != down {
			t.Errorf("down is to be %t: %+v, %v", down, link, err)
		}
	}
	if err := p.Stop(bounded(t)); err != nil {
		t.Error(err)
	}
	if link, err := netlink.LinkByName(name); err == nil {
		t.Errorf("%+v is left", link.Attrs())
	}
}
