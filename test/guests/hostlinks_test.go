package guests

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"virtumld/internal/testkit"
)

var lastLink atomic.Int64

// linkName is a name for a device of the host that nobody else uses.
func linkName() string {
	return fmt.Sprintf("vk%d-%d", os.Getpid(), lastLink.Add(1))
}

// subnet is a /24 of the host that nobody else uses: the host's address in it
// and the guest's.
func subnet() (host, guest string) {
	n := int(lastLink.Add(1))
	prefix := fmt.Sprintf("10.%d.%d.", 192+os.Getpid()%32, n%256)
	return prefix + "1", prefix + "2"
}

// addLink makes a device of the host until the test ends. Where the host's
// kernel has no such devices, the test is skipped.
func addLink(t *testing.T, link netlink.Link) netlink.Link {
	t.Helper()
	name := link.Attrs().Name
	err := netlink.LinkAdd(link)
	if errors.Is(err, unix.EOPNOTSUPP) {
		t.Skipf("the host's kernel has no devices of type %s: %v", link.Type(), err)
	}
	if err != nil {
		t.Fatalf("cannot make the device %s: %v", name, err)
	}
	t.Cleanup(func() {
		if err := netlink.LinkDel(link); err != nil {
			t.Errorf("cannot remove the device %s: %v", name, err)
		}
	})
	if err := netlink.LinkSetUp(link); err != nil {
		t.Fatal(err)
	}
	return hostLink(t, name)
}

// hostLink is a device as the host has it.
func hostLink(t *testing.T, name string) netlink.Link {
	t.Helper()
	link, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatalf("the host's device %s: %v", name, err)
	}
	return link
}

func hasCarrier(link netlink.Link) bool { return link.Attrs().RawFlags&unix.IFF_LOWER_UP != 0 }

// noLink fails the test when the host has that device.
func noLink(t *testing.T, name string) {
	t.Helper()
	if link, err := netlink.LinkByName(name); err == nil {
		t.Errorf("the device %s is left: %+v", name, link.Attrs())
	}
}

// setAddress gives a device of the host an address of a /24.
func setAddress(t *testing.T, link netlink.Link, ip string) {
	t.Helper()
	address, err := netlink.ParseAddr(ip + "/24")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.AddrReplace(link, address); err != nil {
		t.Fatalf("cannot set the address of %s: %v", link.Attrs().Name, err)
	}
}

// linkEvents follow the host's devices.
type linkEvents struct {
	t       *testing.T
	updates chan netlink.LinkUpdate
}

// followLinks follows them from now until the test ends.
func followLinks(t *testing.T) *linkEvents {
	t.Helper()
	e := &linkEvents{t: t, updates: make(chan netlink.LinkUpdate, 4096)}
	done := make(chan struct{})
	t.Cleanup(func() { close(done) })
	if err := netlink.LinkSubscribe(e.updates, done); err != nil {
		t.Fatal(err)
	}
	return e
}

// await waits for a change of a device of that name.
func (e *linkEvents) await(what, name string, is func(u *netlink.LinkUpdate) bool) {
	e.t.Helper()
	deadline := time.After(testkit.Patience)
	for {
		select {
		case u, open := <-e.updates:
			if !open {
				e.t.Fatalf("the host tells no more of its devices, %s was awaited", what)
			}
			if u.Link.Attrs().Name == name && is(&u) {
				return
			}
		case <-deadline:
			e.t.Fatalf("%s: not in %v", what, testkit.Patience)
		}
	}
}

func isNew(old netlink.Link) func(u *netlink.LinkUpdate) bool {
	return func(u *netlink.LinkUpdate) bool {
		a := u.Link.Attrs()
		return u.Header.Type == unix.RTM_NEWLINK && a.Index != old.Attrs().Index && a.Flags&net.FlagUp != 0
	}
}
