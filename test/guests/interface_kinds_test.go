package guests

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"virtumld/internal/testkit"
)

// kindMAC is the guest's address in tests with one guest of its kind.
const kindMAC = "52:54:00:0d:00:01"

// hasMet checks what is told of a guest's interface that has an address and has
// met a host or guest there: counters, and the address where the host has seen
// it.
func hasMet(t *testing.T, d *testkit.Daemon, mac, ip string) {
	t.Helper()
	stats := d.OK("domifstat", "vm", mac)
	for _, counter := range []string{"rx_bytes", "rx_packets", "tx_bytes", "tx_packets"} {
		if m := regexp.MustCompile(counter + ` (\d+)`).FindStringSubmatch(stats); m == nil || m[1] == "0" {
			t.Errorf("%s of an interface in use:\n%s", counter, stats)
		}
	}
	if got := d.OK("domifaddr", "vm", "--source", "arp"); strings.Contains(got, ip+"/") != (ip != "") {
		t.Errorf("the guest has %q, domifaddr says\n%s", ip, got)
	}
	if got := d.OK("domifaddr", "vm", "--source", "lease"); strings.Contains(got, mac) {
		t.Errorf("nobody has given leases, domifaddr says\n%s", got)
	}
}

// killNetwork kills the process of the guest's private network.
func killNetwork(t *testing.T, d *testkit.Daemon, name string) {
	t.Helper()
	pids := d.NetworkPIDs(name)
	if len(pids) != 1 {
		t.Fatalf("the guest's network processes are %v, want one", pids)
	}
	if err := syscall.Kill(pids[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// killSupervisor kills the guest's supervisor, and with it the guest.
func killSupervisor(t *testing.T, d *testkit.Daemon, name string) {
	t.Helper()
	events := d.Events()
	networks := d.NetworkPIDs(name)
	if err := syscall.Kill(d.SupervisorPID(name), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	events.Await(name, "Stopped")
	for _, pid := range networks {
		testkit.AwaitEnd(t, pid)
	}
}

// getLink is the state of the link that domif-getlink tells.
func getLink(d *testkit.Daemon) string {
	return strings.TrimPrefix(d.OK("domif-getlink", "vm", kindMAC), kindMAC+" ")
}

func join(shell *testkit.Shell, ip string) {
	shell.Run("ip addr add " + ip + "/24 dev vec0; ip link set vec0 up")
}

// A tap of the system instance has libvirt's name and addresses, follows the
// state of the link, and is there as long as the guest, whoever is killed.
func TestEthernet(t *testing.T) {
	t.Parallel()
	d := testkit.Start(t, testkit.Root)
	hostIP, guestIP := subnet()
	name := linkName()
	links := followLinks(t)
	d.Boot(testkit.Guest{Name: "vm", Devices: fmt.Sprintf(
		`<interface type='ethernet'><mac address='%s'/><target dev='%s'/><mtu size='1400'/></interface>`, kindMAC, name)})
	shell := d.Shell("vm")
	tap := hostLink(t, name)
	if a := tap.Attrs(); a.HardwareAddr.String() != "fe"+kindMAC[2:] || a.MTU != 1400 || a.Flags&net.FlagUp == 0 || !hasCarrier(tap) {
		t.Errorf("the tap is %+v", a)
	}
	if got := shell.Run("cat /sys/class/net/vec0/mtu"); got != "1400" {
		t.Errorf("the guest's MTU is %s", got)
	}
	setAddress(t, tap, hostIP)
	join(shell, guestIP)
	meets(shell, hostIP)
	hasMet(t, d, kindMAC, guestIP)

	d.OK("domif-setlink", "vm", kindMAC, "down")
	if got := getLink(d); got != "down" || hasCarrier(hostLink(t, name)) {
		t.Errorf("the link is %s, the tap's carrier %t", got, hasCarrier(hostLink(t, name)))
	}
	shell.Fail("ping -c 1 -W 1 " + hostIP)
	d.OK("domif-setlink", "vm", kindMAC, "up")
	if got := getLink(d); got != "up" || !hasCarrier(hostLink(t, name)) {
		t.Errorf("the link is %s, the tap's carrier %t", got, hasCarrier(hostLink(t, name)))
	}
	meets(shell, hostIP)

	d.Kill()
	d.Start()
	shell = again(d, "vm")
	meets(shell, hostIP)
	replaced := func(what string, remove func(old netlink.Link)) {
		t.Helper()
		old := hostLink(t, name)
		remove(old)
		links.await("a new tap after the old one was "+what, name, isNew(old))
		setAddress(t, hostLink(t, name), hostIP)
		meets(shell, hostIP)
	}
	replaced("left by its process", func(netlink.Link) { killNetwork(t, d, "vm") })
	replaced("taken away", func(old netlink.Link) {
		if err := netlink.LinkDel(old); err != nil {
			t.Error(err)
		}
	})

	killSupervisor(t, d, "vm")
	noLink(t, name)
	d.OK("start", "vm")
	hostLink(t, name)
	d.OK("destroy", "vm")
	noLink(t, name)

	// A link that is down from the start; a name that the host chooses.
	d.Boot(testkit.Guest{Name: "down", Devices: `<interface type='ethernet'><mac address='52:54:00:0d:00:02'/><link state='down'/></interface>`})
	vnet := regexp.MustCompile(`vnet\d+`).FindString(d.OK("domiflist", "down"))
	if link := hostLink(t, vnet); hasCarrier(link) || link.Attrs().HardwareAddr.String() != "fe:54:00:0d:00:02" {
		t.Errorf("the tap %s of a link that is down is %+v", vnet, link.Attrs())
	}
	d.OK("destroy", "down")
	noLink(t, vnet)
	d.Define(d.XML(testkit.Guest{Name: "reserved", Disk: d.Rootfs("reserved.img"),
		Devices: `<interface type='ethernet'><mac address='fe:54:00:0d:00:01'/></interface>`}))
	d.Refused("reserved value 0xFE", "start", "reserved")
}

// The frames of a guest in a VLAN, and of one with several, go with their tags
// through a tap.
func TestEthernetVLANs(t *testing.T) {
	t.Parallel()
	d := testkit.Start(t, testkit.Root)
	access, trunk := linkName(), linkName()
	d.Boot(testkit.Guest{Name: "access", Devices: fmt.Sprintf(
		`<interface type='ethernet'><target dev='%s'/><vlan><tag id='7'/></vlan></interface>`, access)})
	tap := hostLink(t, access)
	tagged := addLink(t, &netlink.Vlan{LinkAttrs: netlink.LinkAttrs{Name: linkName(), ParentIndex: tap.Attrs().Index}, VlanId: 7})
	hostIP, guestIP := subnet()
	setAddress(t, tagged, hostIP)
	shell := d.Shell("access")
	join(shell, guestIP)
	meets(shell, hostIP)
	d.Define(d.XML(testkit.Guest{Name: "trunk", Disk: d.Rootfs("trunk.img"), Devices: fmt.Sprintf(
		`<interface type='ethernet'><target dev='%s'/><vlan trunk='yes'><tag id='7' nativeMode='untagged'/><tag id='8'/></vlan></interface>`, trunk)}))
	d.Refused("a native VLAN is not available", "start", "trunk")
	noLink(t, trunk)
}

// A tap that an administrator has made for a user is used, and stays as it is;
// without one, the refusal says how to make it.
func TestManagedByAdministrator(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		name := linkName()
		device := fmt.Sprintf(`<interface type='ethernet'><mac address='%s'/><target dev='%s' managed='no'/></interface>`, kindMAC, name)
		d.Define(d.XML(testkit.Guest{Name: "vm", Disk: d.Rootfs("vm.img"), Devices: device}))
		d.DestroyLater("vm")
		d.Refused("ip tuntap add dev "+name+" mode tap user ", "start", "vm")
		if d.Identity() == testkit.User {
			d.Define(d.XML(testkit.Guest{Name: "own", Disk: d.Rootfs("own.img"), Devices: `<interface type='ethernet'/>`}))
			d.Refused("ip tuntap add dev tap0 mode tap user ", "start", "own")
		}
		if os.Geteuid() != 0 {
			t.Skip("only root can make a tap for a user")
		}
		if info, err := os.Stat("/dev/net/tun"); err != nil || d.Identity() == testkit.User && info.Mode()&0o006 != 0o006 {
			t.Skipf("users may not open /dev/net/tun on this host, which udev makes mode 0666 elsewhere: %v, %v", info.Mode(), err)
		}
		owner, err := os.Stat(d.Dir)
		if err != nil {
			t.Fatal(err)
		}
		tap := addLink(t, &netlink.Tuntap{
			LinkAttrs: netlink.LinkAttrs{Name: name}, Mode: netlink.TUNTAP_MODE_TAP,
			Flags: netlink.TUNTAP_NO_PI | netlink.TUNTAP_ONE_QUEUE, Owner: owner.Sys().(*syscall.Stat_t).Uid, Group: owner.Sys().(*syscall.Stat_t).Gid,
		})
		if err := netlink.LinkSetMTU(tap, 1300); err != nil {
			t.Fatal(err)
		}
		hostIP, guestIP := subnet()
		setAddress(t, tap, hostIP)
		d.OK("start", "vm")
		shell := d.Shell("vm")
		join(shell, guestIP)
		meets(shell, hostIP)
		hasMet(t, d, kindMAC, guestIP)
		d.OK("domif-setlink", "vm", kindMAC, "down")
		if hasCarrier(hostLink(t, name)) {
			t.Error("the tap of a link that is down has a carrier")
		}
		d.OK("domif-setlink", "vm", kindMAC, "up")
		meets(shell, hostIP)
		killNetwork(t, d, "vm")
		meets(shell, hostIP)
		d.OK("destroy", "vm")
		after := hostLink(t, name).Attrs()
		if after.Index != tap.Attrs().Index || after.HardwareAddr.String() != tap.Attrs().HardwareAddr.String() || after.MTU != 1300 {
			t.Errorf("the administrator's tap was %+v and is %+v", tap.Attrs(), after)
		}
	})
}

// Guests join a bridge of the host by its name or through a network.
func TestBridge(t *testing.T) {
	t.Parallel()
	d := testkit.Start(t, testkit.Root)
	name := linkName()
	bridge := addLink(t, &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: name}})
	if err := netlink.LinkSetMTU(bridge, 1400); err != nil {
		t.Fatal(err)
	}
	hostIP, guestIP := subnet()
	otherIP := strings.TrimSuffix(guestIP, "2") + "3"
	setAddress(t, bridge, hostIP)
	d.OK("net-create", d.File("lan.xml", fmt.Sprintf(
		`<network><name>lan</name><forward mode='bridge'/><bridge name='%s'/></network>`, name)))
	t.Cleanup(func() { d.Virsh("net-destroy", "lan") })
	taps := []string{linkName(), linkName()}
	d.Boot(testkit.Guest{Name: "vm", Devices: fmt.Sprintf(
		`<interface type='bridge'><mac address='%s'/><source bridge='%s'/><target dev='%s'/></interface>`, kindMAC, name, taps[0])})
	d.Boot(testkit.Guest{Name: "two", Devices: fmt.Sprintf(
		`<interface type='network'><source network='lan'/><target dev='%s'/></interface>`, taps[1])})
	for _, tap := range taps {
		if a := hostLink(t, tap).Attrs(); a.MasterIndex != bridge.Attrs().Index || a.MTU != 1400 {
			t.Errorf("the bridge's port %s is %+v", tap, a)
		}
	}
	live, inactive := d.OK("dumpxml", "two"), d.OK("dumpxml", "two", "--inactive")
	if !strings.Contains(live, `<source network='lan' bridge='`+name+`' portid='`) || strings.Contains(inactive, name) {
		t.Errorf("live\n%s\ninactive\n%s", live, inactive)
	}
	one, two := d.Shell("vm"), d.Shell("two")
	join(one, guestIP)
	join(two, otherIP)
	if got := one.Run("cat /sys/class/net/vec0/mtu"); got != "1400" {
		t.Errorf("the guest's MTU is %s", got)
	}
	meets(one, hostIP)
	meets(one, otherIP)
	hasMet(t, d, kindMAC, guestIP)
	killNetwork(t, d, "vm")
	meets(one, otherIP)

	// A guest's interface moves to another bridge while it runs.
	second := linkName()
	other := addLink(t, &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: second}})
	d.OK("update-device", "vm", d.File("moved.xml", fmt.Sprintf(
		`<interface type='bridge'><mac address='%s'/><source bridge='%s'/><target dev='%s'/></interface>`, kindMAC, second, taps[0])), "--live")
	if a := hostLink(t, taps[0]).Attrs(); a.MasterIndex != other.Attrs().Index {
		t.Errorf("after the move the bridge's port is %+v", a)
	}
	d.OK("destroy", "vm")
	d.OK("destroy", "two")
	for _, tap := range taps {
		noLink(t, tap)
	}
	for what, vlan := range map[string]string{
		"tagged": `<vlan><tag id='7'/></vlan>`, "trunk": `<vlan trunk='yes'><tag id='7'/><tag id='8'/></vlan>`,
	} {
		d.Define(d.XML(testkit.Guest{Name: what, Disk: d.Rootfs(what + ".img"), Devices: fmt.Sprintf(
			`<interface type='bridge'><source bridge='%s'/><target dev='%s'/>%s</interface>`, name, taps[0], vlan)}))
		d.Refused("vlan_filtering 1", "start", what)
		noLink(t, taps[0])
	}
}

// A guest behind a macvtap of a device of the host.
func TestDirect(t *testing.T) {
	t.Parallel()
	d := testkit.Start(t, testkit.Root)
	lower, far := linkName(), linkName()
	addLink(t, &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: lower}, PeerName: far})
	peer := hostLink(t, far)
	if err := netlink.LinkSetUp(peer); err != nil {
		t.Fatal(err)
	}
	hostIP, guestIP := subnet()
	setAddress(t, peer, hostIP)
	macvtap := linkName()
	d.Boot(testkit.Guest{Name: "vm", Devices: fmt.Sprintf(
		`<interface type='direct'><mac address='%s'/><source dev='%s' mode='bridge'/><target dev='%s'/></interface>`, kindMAC, lower, macvtap)})
	link := hostLink(t, macvtap)
	if m, ok := link.(*netlink.Macvtap); !ok || m.Mode != netlink.MACVLAN_MODE_BRIDGE || m.HardwareAddr.String() != kindMAC || m.Flags&net.FlagUp == 0 {
		t.Errorf("the device is %+v", link)
	}
	shell := d.Shell("vm")
	join(shell, guestIP)
	meets(shell, hostIP)
	hasMet(t, d, kindMAC, guestIP)
	killNetwork(t, d, "vm")
	meets(shell, hostIP)
	killSupervisor(t, d, "vm")
	noLink(t, macvtap)
	d.OK("start", "vm")
	hostLink(t, macvtap)
	// The daemon that comes next cleans up after all that was killed.
	pids := append(d.NetworkPIDs("vm"), d.SupervisorPID("vm"))
	// It is not to start the network anew before its own end.
	if err := syscall.Kill(d.SupervisorPID("vm"), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	d.Kill()
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		testkit.AwaitEnd(t, pid)
	}
	d.Start()
	if got := d.OK("domstate", "vm"); got != "shut off" {
		t.Errorf("the guest is %s", got)
	}
	noLink(t, macvtap)
	d.OK("start", "vm")
	hostLink(t, macvtap)
	d.OK("destroy", "vm")
	noLink(t, macvtap)
}

// Two guests talk over sockets of the host as QEMU has them; what is told of
// them is true; they find each other again when one's network was killed.
func TestSockets(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		mcast := fmt.Sprintf(`<interface type='mcast'><source address='230.1.2.3' port='%d'/></interface>`, freeUDP(t))
		here, there := freeUDP(t), freeUDP(t)
		udp := func(to, from int) string {
			return fmt.Sprintf(`<interface type='udp'><source address='127.0.0.1' port='%d'><local address='127.0.0.1' port='%d'/></source></interface>`, to, from)
		}
		for kind, devices := range map[string][2]string{"mcast": {mcast, mcast}, "udp": {udp(there, here), udp(here, there)}} {
			t.Run(kind, func(t *testing.T) {
				withMAC := strings.Replace(devices[0], "<source", "<mac address='"+kindMAC+"'/><source", 1)
				d.Boot(testkit.Guest{Name: "vm", Devices: withMAC})
				d.Boot(testkit.Guest{Name: "two", Devices: devices[1]})
				p := &pair{d: d, one: d.Shell("vm"), two: d.Shell("two")}
				p.configure(p.one, firstIP)
				p.configure(p.two, secondIP)
				meets(p.one, secondIP)
				meets(p.two, firstIP)
				hasMet(t, d, kindMAC, "")
				d.OK("domif-setlink", "vm", kindMAC, "down")
				p.one.Fail("ping -c 1 -W 1 " + secondIP)
				d.OK("domif-setlink", "vm", kindMAC, "up")
				killNetwork(t, d, "two")
				meets(p.one, secondIP)
				for _, name := range []string{"vm", "two"} {
					d.OK("destroy", name)
					d.OK("undefine", name)
				}
			})
		}
	})
}

// freeUDP is a UDP port that nobody had a moment ago.
func freeUDP(t *testing.T) int {
	t.Helper()
	conn, err := net.ListenUDP("udp4", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).Port
}

// Who speaks QEMU's formats is on the network of a guest: a member of its
// multicast group, and a client of its server that comes twice.
func TestQEMUPeers(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		group := &net.UDPAddr{IP: net.IPv4(230, 1, 2, 4), Port: freeUDP(t)}
		server := testkit.FreePort(t)
		d.Boot(testkit.Guest{Name: "vm", Devices: fmt.Sprintf(
			`<interface type='mcast'><mac address='%s'/><source address='%s' port='%d'/></interface>
			 <interface type='server'><mac address='52:54:00:0d:00:03'/><source address='127.0.0.1' port='%d'/></interface>`,
			kindMAC, group.IP, group.Port, server)})
		shell := d.Shell("vm")
		shell.Run("ip addr add 10.99.1.1/24 dev vec0; ip link set vec0 up; ip addr add 10.99.2.1/24 dev vec1; ip link set vec1 up")

		device, err := net.InterfaceByIndex(interfaceOf(t, hostAddress(t)))
		if err != nil {
			t.Fatal(err)
		}
		member, err := net.ListenMulticastUDP("udp4", device, group)
		if err != nil {
			t.Fatal(err)
		}
		defer member.Close()
		sender, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(hostAddress(t))})
		if err != nil {
			t.Fatal(err)
		}
		defer sender.Close()
		ask(t, kindMAC, func(deadline time.Time) error {
			if err := member.SetReadDeadline(deadline); err != nil {
				t.Fatal(err)
			}
			_, err := sender.WriteToUDP(arpRequest(t, "10.99.1.9", "10.99.1.1"), group)
			return err
		}, func() ([]byte, error) {
			frame := make([]byte, 70000)
			n, _, err := member.ReadFromUDP(frame)
			return frame[:n], err
		})
		for range 2 {
			askServer(t, server)
		}
		d.OK("destroy", "vm")
	})
}

// ask sends an ARP request until the guest of that MAC address has answered: its
// interface may not be plugged in yet.
func ask(t *testing.T, mac string, send func(deadline time.Time) error, receive func() ([]byte, error)) {
	t.Helper()
	for end := time.Now().Add(testkit.Patience); ; {
		if err := send(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		frame, err := receive()
		for err == nil && !isARPReply(frame, mac) {
			frame, err = receive()
		}
		if err == nil {
			return
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) || time.Now().After(end) {
			t.Fatalf("no answer of %s: %v", mac, err)
		}
	}
}

// askServer connects as QEMU's client, asks the guest for its address and goes.
func askServer(t *testing.T, port int) {
	t.Helper()
	conn, err := net.Dial("tcp", fmt.Sprint("127.0.0.1:", port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	stream := bufio.NewReader(conn)
	request := arpRequest(t, "10.99.2.9", "10.99.2.1")
	ask(t, "52:54:00:0d:00:03", func(deadline time.Time) error {
		if err := conn.SetDeadline(deadline); err != nil {
			t.Fatal(err)
		}
		_, err := conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(request))), request...))
		return err
	}, func() ([]byte, error) {
		head, err := stream.Peek(4) // a frame that comes in parts is read whole
		if err != nil {
			return nil, err
		}
		size := int(binary.BigEndian.Uint32(head))
		frame, err := stream.Peek(4 + size)
		if err != nil {
			return nil, err
		}
		frame = bytes.Clone(frame[4:])
		_, err = stream.Discard(4 + size)
		return frame, err
	})
}

// arpRequest is a frame that asks who has an address (RFC 826).
func arpRequest(t *testing.T, from, who string) []byte {
	t.Helper()
	mac, err := net.ParseMAC("52:54:00:0d:00:99")
	if err != nil {
		t.Fatal(err)
	}
	frame := append(bytes.Repeat([]byte{0xff}, 6), mac...)
	frame = append(frame, 0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1)
	frame = append(append(frame, mac...), net.ParseIP(from).To4()...)
	frame = append(append(frame, make([]byte, 6)...), net.ParseIP(who).To4()...)
	return append(frame, make([]byte, 18)...) // the shortest frame has 60 bytes
}

func isARPReply(frame []byte, from string) bool {
	return len(frame) >= 42 && bytes.Equal(frame[12:14], []byte{0x08, 0x06}) && frame[21] == 2 &&
		net.HardwareAddr(frame[22:28]).String() == from
}

// interfaceOf is the index of the host's device with an address.
func interfaceOf(t *testing.T, ip string) int {
	t.Helper()
	addresses, err := netlink.AddrList(nil, netlink.FAMILY_V4)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		if a.IP.String() == ip {
			return a.LinkIndex
		}
	}
	t.Fatalf("the host has no address %s", ip)
	return 0
}

// What no guest can have is refused with the reason.
func TestKindsRefused(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		for device, want := range map[string]string{
			`<interface type='mcast'><source address='10.0.0.1' port='5558'/></interface>`:                                             "no multicast address",
			`<interface type='mcast'><source address='230.0.0.1'/></interface>`:                                                        "'port'",
			`<interface type='client'><source address='no address' port='5558'/></interface>`:                                          "no IP address",
			`<interface type='server'><source address='127.0.0.1' port='70000'/></interface>`:                                          "70000",
			`<interface type='udp'><source address='127.0.0.1' port='5558'/></interface>`:                                              "<local>",
			`<interface type='ethernet'><target managed='no'/></interface>`:                                                            "managed='no'",
			`<interface type='direct'><source dev='lo' mode='no-such'/></interface>`:                                                   "no-such",
			`<interface type='bridge'><source bridge='br0'/><target dev='br1' managed='no'/></interface>`:                              "unmanaged target dev",
			`<interface type='vhostuser'><source type='unix' path='/tmp/vhost.sock' mode='server'/><model type='virtio'/></interface>`: "mode='server' is not available",
			`<interface type='udp'><source address='::1' port='5558'><local address='127.0.0.1' port='5559'/></source></interface>`:    "different families",
			`<interface type='mcast'><source address='ff02::1' port='5558'/></interface>`:                                              "not an IPv4 multicast group",
			`<interface type='server'><source address='192.0.2.1' port='5558'/></interface>`:                                           "192.0.2.1:5558",
		} {
			document := d.File("refused.xml", d.XML(testkit.Guest{Name: "refused", Disk: d.Rootfs("refused.img"), Devices: device}))
			d.Refused(want, "create", document)
		}
		left, err := filepath.Glob(filepath.Join(d.UMLDir(), "*"))
		if err != nil && !errors.Is(err, os.ErrNotExist) || len(left) > 0 {
			t.Errorf("%v are left, %v", left, err)
		}
	})
}
