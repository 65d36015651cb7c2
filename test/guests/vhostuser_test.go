package guests

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"virtumld/internal/testkit"
	"virtumld/internal/testkit/vhostnet"
)

const (
	vhostMAC  = "52:54:00:0d:0e:01"
	secondMAC = "52:54:00:0d:0e:02"
)

// vhostUser is the interface of a guest behind a socket.
func vhostUser(mac, socket string) string {
	return fmt.Sprintf(`<interface type='vhostuser'><mac address='%s'/><source type='unix' path='%s' mode='client'/><model type='virtio'/></interface>`, mac, socket)
}

// modules is a share of the modules of the installed kernels, in which
// virtio_net is.
const modules = `<filesystem type='mount'><source dir='/usr/lib/uml/modules'/><target dir='modules'/><readonly/></filesystem>`

// loadVirtio gives a guest that has modules the driver of its device, and the
// device an address.
func loadVirtio(shell *testkit.Shell, ip string) {
	shell.Run("mount -t hostfs none /mnt -o /share/modules")
	shell.Run(`cd /mnt/$(uname -r)/kernel; for module in net/core/failover drivers/net/net_failover drivers/net/virtio_net; do insmod $module.ko || exit 1; done`)
	shell.Run("ip addr add " + ip + "/24 dev eth0; ip link set eth0 up")
}

// Guests with virtio devices behind a socket meet its host and each other, and
// all that is said of their interfaces is true.
func TestVHostUser(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		socket, full := filepath.Join(d.Dir, "back end, 1.sock"), filepath.Join(d.Dir, "full.sock")
		const hostIP = "192.168.78.1"
		network := &vhostnet.Switch{Host: netip.MustParseAddr(hostIP)}
		network.Listen(t, socket, vhostnet.Plain)
		network.Listen(t, full, vhostnet.Full)

		// The document's order is the guest's, whatever is between.
		user := `<interface type='user'><mac address='52:54:00:0d:0e:10'/></interface>`
		d.Boot(testkit.Guest{Name: "vm", Devices: user + vhostUser(vhostMAC, socket) + modules})
		shell := d.Shell("vm")
		loadVirtio(shell, "192.168.78.2")
		meets(shell, hostIP)
		shell.Run("ping -c 3 -s 1400 " + hostIP)
		if got := shell.Run("cat /sys/class/net/eth0/address"); got != vhostMAC {
			t.Errorf("the guest's MAC address is %s", got)
		}
		shell.Run("ip link show vec0")
		checkVHostUser(t, d, socket)

		d.Boot(testkit.Guest{Name: "two", Devices: vhostUser(secondMAC, full) + modules})
		two := d.Shell("two")
		loadVirtio(two, "192.168.78.3")
		if got := two.Run("cat /sys/class/net/eth0/address"); got != secondMAC {
			t.Errorf("the second guest's MAC address is %s", got)
		}
		meets(two, "192.168.78.2")

		// A back end that ends takes the link with it, and nothing else. A
		// reboot is a new connection; the daemon has no part in it.
		d.Kill()
		d.Start()
		two = again(d, "two")
		network.Disconnect()
		two.Fail("ping -c 1 -W 1 " + hostIP)
		kernel := d.KernelPID("two")
		before := d.CPUTime(kernel)
		two.Run("sleep 5")
		if used := d.CPUTime(kernel) - before; used > time.Second {
			t.Errorf("an idle kernel has used %v in 5 s", used)
		}
		two.Send("reboot -f\n")
		two.Expect("(?s)Linux version.*" + testkit.Prompt)
		loadVirtio(two, "192.168.78.3")
		meets(two, hostIP)
	})
}

// checkVHostUser checks what clients are told of the interface, and what they
// cannot do to it while the guest runs.
func checkVHostUser(t *testing.T, d *testkit.Daemon, socket string) {
	t.Helper()
	if list := d.OK("domiflist", "vm"); !regexp.MustCompile(`(?m)^ -\s+vhostuser\s.*virtio\s+` + vhostMAC).MatchString(list) {
		t.Errorf("domiflist says\n%s", list)
	}
	document := d.OK("dumpxml", "vm")
	_, after, _ := strings.Cut(document, "<interface type='vhostuser'>")
	if own, _, _ := strings.Cut(after, "</interface>"); !strings.Contains(own, "<guest dev='eth0'/>") || strings.Contains(own, "<target") {
		t.Errorf("the live interface is %s", own)
	}
	if stats := d.OK("domstats", "--interface", "vm"); !strings.Contains(stats, "net.count=2") ||
		!strings.Contains(stats, "net.0.rx.bytes=") || strings.Contains(stats, "net.1.") {
		t.Errorf("domstats says\n%s", stats)
	}
	if got := d.OK("domif-getlink", "vm", vhostMAC); !strings.HasSuffix(strings.TrimSpace(got), "up") {
		t.Errorf("the link is %s", got)
	}
	d.Refused("only the process behind the socket", "domifstat", "vm", vhostMAC)
	d.Refused("vhostuser", "domif-setlink", "vm", vhostMAC, "down")
	d.Refused("vhostuser", "domiftune", "vm", vhostMAC, "--live", "--inbound", "100")
	d.Refused("detached while the guest runs", "detach-interface", "vm", "vhostuser", "--mac", vhostMAC, "--live")
	more := d.File("more.xml", vhostUser("52:54:00:0d:0e:03", socket))
	d.Refused("attached while the guest runs", "attach-device", "vm", more, "--live")
	d.OK("attach-device", "vm", more, "--config")
	if config := d.OK("dumpxml", "vm", "--inactive"); !strings.Contains(config, "<guest dev='eth1'/>") {
		t.Errorf("the config is\n%s", config)
	}
	d.OK("detach-device", "vm", more, "--config")
}

// A guest that would boot without its interface is not started.
func TestVHostUserRefused(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		socket := filepath.Join(d.Dir, "absent.sock")
		d.Define(d.XML(testkit.Guest{Name: "vm", Disk: d.Rootfs("vm.img"), Devices: vhostUser(vhostMAC, socket)}))
		d.Refused("'"+socket+"'; start what listens there", "start", "vm")
		d.File("absent.sock", "")
		d.Refused("connection refused", "start", "vm")
		if d.Identity() == testkit.Root {
			return // root may connect to every socket
		}
		if err := os.Remove(socket); err != nil {
			t.Fatal(err)
		}
		(&vhostnet.Switch{}).Listen(t, socket, vhostnet.Plain)
		if err := os.Chmod(socket, 0); err != nil {
			t.Fatal(err)
		}
		d.Refused(socket, "start", "vm")
	})
}
