package tap

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/testkit"
	"virtumld/internal/virerr"
)

// deviceTests run one after the other in one guest.
var deviceTests = []struct {
	name string
	run  func(*testing.T)
}{
	{"Tap", testTap}, {"Down", testDown}, {"Bridge", testBridge}, {"VLAN", testVLAN}, {"Refusals", testRefusals},
	{"Macvtap", testMacvtap}, {"Kept", testKept}, {"Killed", testKilled}, {"Unprivileged", testUnprivileged}, {"Helper", testHelper},
}

const (
	guestMAC = "52:54:00:00:00:0a"
	otherMAC = "52:54:00:00:00:0b"
)

// frame is a broadcast of a type that no kernel sends by itself.
func frame(from string, text string) []byte {
	mac, err := net.ParseMAC(from)
	if err != nil {
		panic(err)
	}
	head := append(bytes.Repeat([]byte{0xff}, 6), mac...)
	return append(append(head, 0x88, 0xb5), (text + strings.Repeat(".", 60))...)
}

// receiveText reads frames until one of that type, and returns its text.
func receiveText(t *testing.T, d io.Reader) string {
	t.Helper()
	p := make([]byte, 2000)
	for {
		n, err := d.Read(p)
		if err != nil {
			t.Fatal(err)
		}
		if n > 14 && p[12] == 0x88 && p[13] == 0xb5 {
			return strings.TrimRight(string(p[14:n]), ".")
		}
	}
}

func send(t *testing.T, d io.Writer, p []byte) {
	t.Helper()
	if n, err := d.Write(p); err != nil || n != len(p) {
		t.Fatalf("sent %d of %d bytes: %v", n, len(p), err)
	}
}

// open opens a device until the test ends.
func open(t *testing.T, cfg Config) (Device, string) {
	t.Helper()
	d, name, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
			t.Error(err)
		}
	})
	return d, name
}

// link is a device as the kernel has it.
func link(t *testing.T, name string) netlink.Link {
	t.Helper()
	l, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return l
}

func hasCarrier(l netlink.Link) bool { return l.Attrs().RawFlags&unix.IFF_LOWER_UP != 0 }

func isUp(l netlink.Link) bool { return l.Attrs().Flags&net.FlagUp != 0 }

func exists(name string) bool {
	_, err := netlink.LinkByName(name)
	return err == nil
}

// add makes a device for the test.
func add(t *testing.T, l netlink.Link) {
	t.Helper()
	if err := netlink.LinkAdd(l); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := netlink.LinkDel(l); err != nil {
			t.Error(err)
		}
	})
	if err := netlink.LinkSetUp(l); err != nil {
		t.Fatal(err)
	}
}

func bridge(t *testing.T, name string, vlans bool) *netlink.Bridge {
	t.Helper()
	b := &netlink.Bridge{LinkAttrs: netlink.NewLinkAttrs(), VlanFiltering: &vlans}
	b.Name = name
	add(t, b)
	return b
}

func testTap(t *testing.T) {
	d, name := open(t, Config{MAC: guestMAC, MTU: 1300})
	got := link(t, name).Attrs()
	if name != "vnet0" || got.HardwareAddr.String() != "fe:54:00:00:00:0a" || got.MTU != 1300 || !isUp(link(t, name)) {
		t.Errorf("the tap is %s, %+v", name, got)
	}
	if _, second := open(t, Config{Name: "vnet%d"}); second != "vnet1" {
		t.Errorf("the second tap is %s", second)
	}
	ended := make(chan error, 1)
	go func() {
		for {
			if _, err := d.Read(make([]byte, 2000)); err != nil {
				ended <- err
				return
			}
		}
	}()
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, os.ErrClosed) {
		t.Errorf("a Read ends with %v", err)
	}
	if exists(name) {
		t.Error("the tap is still there after Close")
	}
	if _, err := d.Write(frame(guestMAC, "late")); err == nil {
		t.Error("a closed tap takes frames")
	}
}

func testDown(t *testing.T) {
	d, name := open(t, Config{Name: "down0", Down: true})
	if hasCarrier(link(t, name)) {
		t.Error("the tap has a carrier")
	}
	for _, up := range []bool{true, false, true} {
		if err := d.SetLink(up); err != nil || hasCarrier(link(t, name)) != up {
			t.Errorf("link %t: the carrier is %t, %v", up, hasCarrier(link(t, name)), err)
		}
	}
	send(t, d, frame(guestMAC, "x"))
	dummy(t)
	m, name := open(t, Config{Direct: "dummy0", Name: "down1", Down: true})
	if isUp(link(t, name)) {
		t.Error("the macvtap is up")
	}
	if err := m.SetLink(true); err != nil || !isUp(link(t, name)) {
		t.Errorf("the macvtap is down: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if err := d.SetLink(true); err == nil {
		t.Error("the link of a closed tap can be set")
	}
}

func testBridge(t *testing.T) {
	b := bridge(t, "br0", false)
	if err := netlink.LinkSetMTU(b, 1400); err != nil {
		t.Fatal(err)
	}
	one, name := open(t, Config{Bridge: "br0", MAC: guestMAC})
	two, _ := open(t, Config{Bridge: "br0", MAC: otherMAC, MTU: 1400})
	if got := link(t, name).Attrs(); got.MasterIndex != b.Index || got.MTU != 1400 {
		t.Errorf("the port is %+v", got)
	}
	for _, text := range []string{"first", "second"} {
		send(t, one, frame(guestMAC, text))
		if got := receiveText(t, two); got != text {
			t.Errorf("received %q, want %q", got, text)
		}
	}
}

func testVLAN(t *testing.T) {
	bridge(t, "br0", true)
	macs := []string{"52:54:00:00:00:01", "52:54:00:00:00:02", "52:54:00:00:00:03", "52:54:00:00:00:04"}
	var ports []Device
	for i, vlan := range []uint16{7, 7, 8, 8} {
		d, _ := open(t, Config{Bridge: "br0", MAC: macs[i], VLAN: vlan})
		ports = append(ports, d)
	}
	send(t, ports[0], frame(macs[0], "seven"))
	send(t, ports[2], frame(macs[2], "eight"))
	if got := receiveText(t, ports[1]); got != "seven" {
		t.Errorf("VLAN 7 got %q first", got)
	}
	if got := receiveText(t, ports[3]); got != "eight" {
		t.Errorf("VLAN 8 got %q first", got)
	}
	// A trunk has the frames of its VLANs with tags but for those of its own.
	trunk, _ := open(t, Config{Bridge: "br0", MAC: "52:54:00:00:00:05", VLAN: 8, Tags: []uint16{9}})
	nine, _ := open(t, Config{Bridge: "br0", MAC: "52:54:00:00:00:06", VLAN: 9})
	send(t, ports[0], frame(macs[0], "seven")) // which it has not
	send(t, ports[2], frame(macs[2], "eight"))
	if got := receiveText(t, trunk); got != "eight" {
		t.Errorf("the trunk got %q first", got)
	}
	tagged := frame("52:54:00:00:00:05", "nine")
	tagged = append(tagged[:12:12], append([]byte{0x81, 0, 0, 9}, tagged[12:]...)...)
	send(t, trunk, tagged)
	if got := receiveText(t, nine); got != "nine" {
		t.Errorf("VLAN 9 got %q first", got)
	}
}

func testRefusals(t *testing.T) {
	bridge(t, "br0", false)
	for what, test := range map[string]struct {
		cfg  Config
		code libvirt.ErrorNumber
		text string
	}{
		"no bridge":       {Config{Bridge: "br9"}, libvirt.ErrSystemError, "Cannot get interface MTU on 'br9': "},
		"no VLANs":        {Config{Bridge: "br0", VLAN: 7}, libvirt.ErrConfigUnsupported, "vlan_filtering 1"},
		"reserved MAC":    {Config{MAC: "fe:54:00:00:00:01"}, libvirt.ErrConfigUnsupported, "reserved value 0xFE"},
		"bad MAC":         {Config{MAC: "x"}, libvirt.ErrConfigUnsupported, "'x' is not the MAC address"},
		"long name":       {Config{Name: "a-name-that-is-too-long"}, libvirt.ErrSystemError, "Unable to create tap device a-name-that-is-too-long: "},
		"no lower device": {Config{Direct: "eth9"}, libvirt.ErrSystemError, "Unable to get index for interface eth9: "},
		"bad mode":        {Config{Direct: "lo", Mode: "x"}, libvirt.ErrConfigUnsupported, "the mode 'x'"},
		"macvtap's VLAN":  {Config{Direct: "lo", VLAN: 1}, libvirt.ErrConfigUnsupported, "cannot be given a VLAN"},
		"kept, missing":   {Config{Name: "mine9", Keep: true}, libvirt.ErrConfigUnsupported, "target managed='no' but specified dev 'mine9' doesn't exist"},
	} {
		d, _, err := Open(test.cfg)
		if err == nil {
			d.Close()
		}
		if !virerr.Is(err, test.code) || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s: %v", what, err)
		}
	}
	links, err := netlink.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if l.Type() == "tuntap" || l.Type() == "macvtap" {
			t.Errorf("%s is left", l.Attrs().Name)
		}
	}
}

// dummy makes the lower device dummy0.
func dummy(t *testing.T) netlink.Link {
	t.Helper()
	d := &netlink.Dummy{LinkAttrs: netlink.NewLinkAttrs()}
	d.Name = "dummy0"
	if exists(d.Name) { // the driver makes one when it is loaded
		if err := netlink.LinkDel(link(t, d.Name)); err != nil {
			t.Fatal(err)
		}
	}
	add(t, d)
	return link(t, d.Name)
}

func testMacvtap(t *testing.T) {
	lower := dummy(t)
	one, name := open(t, Config{Direct: "dummy0", Mode: "bridge", MAC: guestMAC, MTU: 1300})
	two, second := open(t, Config{Direct: "dummy0", Mode: "bridge", MAC: otherMAC})
	got := link(t, name)
	if name != "macvtap0" || second != "macvtap1" || got.Attrs().HardwareAddr.String() != guestMAC || got.Attrs().MTU != 1300 ||
		got.Attrs().ParentIndex != lower.Attrs().Index || !isUp(got) {
		t.Errorf("the macvtaps are %s, %s, %+v", name, second, got.Attrs())
	}
	if mode := got.(*netlink.Macvtap).Mode; mode != netlink.MACVLAN_MODE_BRIDGE {
		t.Errorf("the mode is %d", mode)
	}
	send(t, one, frame(guestMAC, "hello"))
	if got := receiveText(t, two); got != "hello" {
		t.Errorf("received %q", got)
	}
	if err := one.Close(); err != nil || exists(name) {
		t.Errorf("after Close the macvtap is there: %t, %v", exists(name), err)
	}
	if err := netlink.LinkDel(link(t, second)); err != nil {
		t.Fatal(err)
	}
	if err := two.Close(); err != nil {
		t.Errorf("Close of a macvtap that is gone: %v", err)
	}
	for _, mode := range []string{"", "vepa", "private", "passthru"} {
		d, _ := open(t, Config{Direct: "dummy0", Mode: mode, Name: "mode0"})
		if err := d.Close(); err != nil {
			t.Errorf("mode %q: %v", mode, err)
		}
	}
}

// persistent makes a tap that stays, of a user.
func persistent(t *testing.T, name string, owner uint32) {
	t.Helper()
	tap := &netlink.Tuntap{LinkAttrs: netlink.NewLinkAttrs(), Mode: netlink.TUNTAP_MODE_TAP, Flags: netlink.TUNTAP_NO_PI | netlink.TUNTAP_ONE_QUEUE, Owner: owner, Group: owner}
	tap.Name = name
	add(t, tap)
}

func testKept(t *testing.T) {
	persistent(t, "mine", userID)
	d, name := open(t, Config{Name: "mine", Keep: true, MAC: guestMAC, MTU: 1200})
	send(t, d, frame(guestMAC, "x"))
	if err := d.Close(); err != nil || !exists(name) {
		t.Errorf("after Close the tap of somebody else is there: %t, %v", exists(name), err)
	}
	if got := link(t, name).Attrs(); got.MTU == 1200 || got.HardwareAddr.String() == "fe:54:00:00:00:0a" {
		t.Errorf("a tap of somebody else was changed: %+v", got)
	}
	dummy(t)
	m := &netlink.Macvtap{Macvlan: netlink.Macvlan{LinkAttrs: netlink.NewLinkAttrs(), Mode: netlink.MACVLAN_MODE_BRIDGE}}
	m.Name, m.ParentIndex = "theirs", link(t, "dummy0").Attrs().Index
	if err := netlink.LinkAdd(m); err != nil {
		t.Fatal(err)
	}
	d, name = open(t, Config{Name: "theirs", Keep: true})
	if err := d.SetLink(false); err != nil {
		t.Errorf("the link of somebody else's macvtap: %v", err)
	}
	if err := d.Close(); err != nil || !exists(name) {
		t.Errorf("after Close the macvtap of somebody else is there: %t, %v", exists(name), err)
	}
	// Nor do left-overs of others go.
	open(t, Config{Direct: "dummy0", Mode: "bridge"})
	if !exists("theirs") {
		t.Error("the macvtap of somebody else was taken for a left-over")
	}
}

func testKilled(t *testing.T) {
	dummy(t)
	o := run(t, "doomed", 0)
	for _, want := range []string{"opened doomed0", "opened doomed1"} {
		if got := o.line(t); got != want {
			t.Fatalf("the process says %q, want %q", got, want)
		}
	}
	// While it lives nobody takes its device away.
	if d, _, err := Open(Config{Direct: "dummy0", Mode: "bridge"}); err != nil || d.Close() != nil || !exists("doomed1") {
		t.Errorf("the device of another process is there: %t, %v", exists("doomed1"), err)
	}
	if err := o.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	testkit.AwaitEnd(t, o.Process.Pid) // of which its parent is not told yet
	open(t, Config{Direct: "dummy0", Mode: "bridge", MAC: "52:54:00:00:00:0d"})
	if exists("doomed1") {
		t.Error("the macvtap of a killed process is left")
	}
	_ = o.Wait() // it was killed
	if exists("doomed0") {
		t.Error("the tap of a killed process is left")
	}
}

func testUnprivileged(t *testing.T) {
	bridge(t, "br0", false)
	persistent(t, "mine", userID)
	persistent(t, "other", userID+1)
	for role, want := range map[string]string{
		"kept":    "opened mine",
		"other":   "Unable to create tap device other: operation not permitted",
		"make":    "ip tuntap add dev tap0 mode tap user ",
		"bridge":  "managed='no'",
		"missing": "ip tuntap add dev missing mode tap user ",
	} {
		if got := run(t, role, userID).line(t); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", role, got, want)
		}
	}
}

func testHelper(t *testing.T) {
	b := bridge(t, "br0", false)
	helper := filepath.Join(t.TempDir(), helperName)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, helper); err != nil {
		t.Fatal(err)
	}
	d, err := openByHelper(Config{Bridge: "br0", MAC: guestMAC}, helper)
	if err != nil {
		t.Fatal(err)
	}
	if got := link(t, d.name); got.Attrs().MasterIndex != b.Index || !isUp(got) {
		t.Errorf("the port is %+v", got.Attrs())
	}
	send(t, d, frame(guestMAC, "x"))
	if err := d.Close(); err != nil || exists(d.name) {
		t.Errorf("after Close the tap is there: %t, %v", exists(d.name), err)
	}
	bridge(t, "silent", false)
	for name, want := range map[string]string{
		"forbidden": "failed to communicate with bridge helper: access denied by acl file",
		"silent":    "failed to retrieve file descriptor for interface",
	} {
		if _, err := openByHelper(Config{Bridge: name}, helper); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}
