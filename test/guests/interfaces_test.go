package guests

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"virtumld/internal/testkit"
)

// pair is two guests whose interfaces are joined by a socket of the host.
type pair struct {
	d        *testkit.Daemon
	one, two *testkit.Shell
}

const (
	firstIP  = "192.168.77.1"
	secondIP = "192.168.77.2"
)

func bootPair(t *testing.T, d *testkit.Daemon) *pair {
	t.Helper()
	port := testkit.FreePort(t)
	socket := func(kind string) string {
		return fmt.Sprintf(`<interface type='%s'><source address='127.0.0.1' port='%d'/></interface>`, kind, port)
	}
	d.Boot(testkit.Guest{Name: "one", Devices: socket("server")})
	d.Boot(testkit.Guest{Name: "two", Devices: socket("client")})
	p := &pair{d: d, one: d.Shell("one"), two: d.Shell("two")}
	p.configure(p.one, firstIP)
	p.configure(p.two, secondIP)
	return p
}

func (p *pair) configure(shell *testkit.Shell, ip string) {
	shell.Run("ip addr flush dev vec0; ip addr add " + ip + "/24 dev vec0 && ip link set vec0 up")
}

// again is a running guest's shell once more.
func again(d *testkit.Daemon, name string) *testkit.Shell {
	console := d.Console(name)
	console.Knock()
	return d.ShellOn(console)
}

// meets waits until a guest reaches an address: a network that has just come
// back needs a moment.
func meets(shell *testkit.Shell, ip string) {
	shell.Run("(for i in $(seq 60); do ping -c 1 -W 1 " + ip + " >/dev/null && exit 0; done; exit 1)")
}

// A guest's interface lives on when the guest takes it down and up, when the
// daemon or the network's process is killed, and when the guest reboots.
func TestInterfaceLives(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		p := bootPair(t, d)
		meets(p.one, secondIP)
		t.Run("down and up", func(t *testing.T) {
			for range 3 {
				p.one.Run("ip link set vec0 down; ip link set vec0 up")
				meets(p.one, secondIP)
			}
		})
		t.Run("daemon killed", func(t *testing.T) {
			d.Kill()
			d.Start()
			p.one, p.two = again(d, "one"), again(d, "two")
			meets(p.two, firstIP)
		})
		t.Run("network killed", p.networkKilled)
		t.Run("guest reboots", func(t *testing.T) {
			p.two.Send("reboot -f\n")
			p.two.Expect("(?s)Linux version.*" + testkit.Prompt)
			p.configure(p.two, secondIP)
			meets(p.two, firstIP)
		})
		networks := append(d.NetworkPIDs("one"), d.NetworkPIDs("two")...)
		if len(networks) != 2 {
			t.Errorf("two interfaces have the network processes %v", networks)
		}
		d.OK("destroy", "one")
		d.OK("destroy", "two")
		for _, pid := range networks {
			if err := syscall.Kill(pid, 0); err != syscall.ESRCH {
				t.Errorf("the network process %d has outlived its guest: %v", pid, err)
			}
		}
	})
}

// networkKilled: the kernel must not see its peer close, of which it would
// spin.
func (p *pair) networkKilled(t *testing.T) {
	pids := p.d.NetworkPIDs("one")
	if len(pids) != 1 {
		t.Fatalf("the guest's network processes are %v, want one", pids)
	}
	if err := syscall.Kill(pids[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	meets(p.one, secondIP)
	meets(p.two, firstIP)
	kernel := p.d.KernelPID("one")
	before := p.d.CPUTime(kernel)
	p.one.Run("sleep 5")
	if used := p.d.CPUTime(kernel) - before; used > time.Second {
		t.Errorf("an idle kernel has used %v in 5 s", used)
	}
}

// Interfaces come and go while the guest runs. One that is up stays.
func TestInterfaceHotplug(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		d.Boot(testkit.Guest{Name: "vm"})
		shell := d.Shell("vm")
		const mac = "52:54:00:12:34:56"
		document := d.File("nic.xml", fmt.Sprintf(
			`<interface type='mcast'><mac address='%s'/><source address='230.0.0.1' port='%d'/></interface>`, mac, testkit.FreePort(t)))
		for range 2 {
			d.OK("attach-device", "vm", document)
			shell.Run("ip link set vec0 up")
			if got := shell.Run("cat /sys/class/net/vec0/address"); got != mac {
				t.Errorf("the guest's MAC address is %q, want %q", got, mac)
			}
			d.Refused("ip link set vec0 down", "detach-device", "vm", document)
			if got := d.OK("domiflist", "vm"); !strings.Contains(got, mac) {
				t.Errorf("after a refused detach the interfaces are\n%s", got)
			}
			shell.Run("ip link set vec0 down")
			d.OK("detach-device", "vm", document)
			shell.Fail("ip link show vec0")
			if pids := d.NetworkPIDs("vm"); len(pids) > 0 {
				t.Errorf("after the detach there are still %v", pids)
			}
		}
		// What was attached is there after a restart of the daemon and after
		// a reboot of the guest.
		d.OK("attach-device", "vm", document)
		d.Kill()
		d.Start()
		if got := d.OK("domiflist", "vm"); !strings.Contains(got, mac) {
			t.Errorf("after a restart of the daemon the interfaces are\n%s", got)
		}
		shell = again(d, "vm")
		shell.Send("reboot -f\n")
		shell.Expect("(?s)Linux version.*" + testkit.Prompt)
		shell.Run("ip link set vec0 up && ip link set vec0 down")
		d.OK("detach-device", "vm", document)
		shell.Fail("ip link show vec0")
	})
}

// Without namespaces the supervisor ends the guest's processes one by one, and
// not the networks'; with a supervisor that is killed they end, too.
func TestInterfaceWithoutNamespaces(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		d.Stop()
		configuration := "config/libvirt/virtumld.conf"
		if d.Identity() == testkit.Root {
			configuration = "etc/libvirt/virtumld.conf"
		}
		d.File(configuration, "contain = \"off\"\n")
		d.Start()
		p := bootPair(t, d)
		meets(p.one, secondIP)
		network := d.NetworkPIDs("two")
		p.two.Send("reboot -f\n")
		p.two.Expect("(?s)Linux version.*" + testkit.Prompt)
		p.configure(p.two, secondIP)
		meets(p.one, secondIP)
		if got := d.NetworkPIDs("two"); !slices.Equal(got, network) {
			t.Errorf("after a reboot the network process is %v, before it was %v", got, network)
		}
		if err := syscall.Kill(d.SupervisorPID("two"), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		testkit.AwaitEnd(t, network[0])
		d.OK("destroy", "one")
	})
}

// What cannot be had refuses the start or the attach, and leaves nothing.
func TestInterfaceRefused(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		port := testkit.FreePort(t)
		listen := fmt.Sprintf(`<interface type='server'><source address='127.0.0.1' port='%d'/></interface>`, port)
		d.Boot(testkit.Guest{Name: "first", Devices: listen})
		refused := map[string]struct{ device, want string }{
			"taken":  {listen, fmt.Sprint(port)},
			"no-net": {`<interface type='network'><source network='no-such-net'/></interface>`, "no-such-net"},
			"no-br":  {`<interface type='bridge'><source bridge='no-such-br'/></interface>`, "no-such-br"},
		}
		if d.Identity() != testkit.Root {
			c := refused["no-br"]
			c.want = "an administrator can make a tap for this user"
			refused["no-br"] = c
		}
		for name, c := range refused {
			d.Define(d.XML(testkit.Guest{Name: name, Disk: d.Rootfs(name + ".img"), Devices: c.device}))
			d.DestroyLater(name)
			d.Refused(c.want, "start", name)
			d.Refused(c.want, "attach-device", "first", d.File(name+".xml", c.device))
		}
		if got := d.NetworkPIDs("first"); len(got) != 1 {
			t.Errorf("after refused attaches the network processes are %v", got)
		}
		d.Shell("first").Fail("ip link show vec1")
	})
}
