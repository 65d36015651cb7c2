package networks

import (
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"virtumld/internal/testkit"
)

// faulty is a network whose first addresses are kept for guests by MAC.
const faulty = `<network>
  <name>faulty</name>
  <forward mode='nat'/>
  <ip address='10.84.0.1' netmask='255.255.255.0'>
    <dhcp><range start='10.84.0.100' end='10.84.0.107'/>
      <host mac='52:54:00:84:00:01' ip='10.84.0.11'/>
      <host mac='52:54:00:84:00:02' ip='10.84.0.12'/>
      <host mac='52:54:00:84:00:03' ip='10.84.0.13'/></dhcp>
  </ip>
</network>
`

// What makes no sense is refused when a network is defined or started, with
// what is wrong, and leaves nothing.
func TestBadNetworks(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		ip := func(inner string) string {
			return "<ip address='10.85.0.1' netmask='255.255.255.0'><dhcp>" + inner + "</dhcp></ip>"
		}
		for name, c := range map[string]struct{ inner, want string }{
			"range-outside": {ip("<range start='10.86.0.2' end='10.86.0.9'/>"), "10.86.0.2"},
			"range-turned":  {ip("<range start='10.85.0.9' end='10.85.0.2'/>"), "10.85.0.9"},
			"range-whole":   {ip("<range start='10.85.0.0' end='10.85.0.9'/>"), "10.85.0.0"},
			"host-outside":  {ip("<host mac='52:54:00:00:00:01' ip='10.86.0.2'/>"), "10.86.0.2"},
			"mac-twice":     {ip("<host mac='52:54:00:00:00:01' ip='10.85.0.2'/><host mac='52:54:00:00:00:01' ip='10.85.0.3'/>"), "52:54:00:00:00:01"},
			"ip-twice":      {ip("<host mac='52:54:00:00:00:01' ip='10.85.0.2'/><host mac='52:54:00:00:00:02' ip='10.85.0.2'/>"), "10.85.0.2"},
			"mac-multicast": {ip("<host mac='53:54:00:00:00:01' ip='10.85.0.2'/>"), "53:54:00:00:00:01"},
			"gateways":      {"<ip address='10.85.0.1' netmask='255.255.255.0'/><ip address='10.85.0.2' netmask='255.255.0.0'/>", "10.85.0"},
		} {
			document := write(t, d, name+".xml", "<network><name>"+name+"</name>"+c.inner+"</network>")
			r := d.Virsh("net-create", document)
			if r.Code == 0 || !strings.Contains(r.Stderr, c.want) {
				t.Errorf("%s: code %d, %q does not name %s", name, r.Code, r.Stderr, c.want)
			}
			if r.Code == 0 {
				d.OK("net-destroy", name)
			}
		}
		if left := d.Lines("net-list", "--all", "--name"); len(left) > 0 {
			t.Errorf("refused networks are left: %q", left)
		}
		if left := processes(d); len(left) > 0 {
			t.Errorf("refused networks' processes are left: %d", left)
		}
	})
}

// Two networks with one subnet, one name or one bridge.
func TestClashingNetworks(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		document := func(name, bridge, ip string) string {
			return write(t, d, name+".xml", fmt.Sprintf(
				"<network><name>%s</name><bridge name='%s'/><ip address='%s' netmask='255.255.255.0'/></network>", name, bridge, ip))
		}
		d.OK("net-create", document("one", "faulty0", "10.87.0.1"))
		d.Refused("already in use by interface faulty0", "net-create", document("two", "faulty1", "10.87.0.9"))
		d.Refused("bridge name 'faulty0' already in use", "net-create", document("two", "faulty0", "10.88.0.1"))
		d.Refused("one", "net-create", document("one", "faulty1", "10.88.0.1"))
		d.OK("net-define", document("two", "faulty1", "10.87.0.9"))
		d.Refused("already in use by interface faulty0", "net-start", "two")
		d.OK("net-destroy", "one")
		d.OK("net-start", "two")
		d.OK("net-destroy", "two")
	})
}

// A port that is taken, or that needs a right, refuses the guest's start by its
// number and leaves nothing.
func TestForwardsRefused(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		taken, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer taken.Close()
		ports := []int{taken.Addr().(*net.TCPAddr).Port}
		if d.Identity() != testkit.Root {
			ports = append(ports, firstFreePort(t)-1)
		}
		for _, port := range ports {
			if port <= 0 {
				continue // this host gives every port to everybody
			}
			name := fmt.Sprint("vm", port)
			d.Define(d.XML(testkit.Guest{Name: name, Disk: d.Rootfs(name + ".img"), Devices: fmt.Sprintf(`<interface type='user'><backend type='passt'/>
  <portForward proto='tcp' address='127.0.0.1'><range start='%d' to='7'/></portForward></interface>`, port)}))
			d.DestroyLater(name)
			d.Refused(fmt.Sprint(port), "start", name)
			if state := d.OK("domstate", name); state != "shut off" {
				t.Errorf("the refused guest is %q", state)
			}
		}
		if left := processes(d); len(left) > 0 {
			t.Errorf("refused guests' networks are left: %d", left)
		}
	})
}

// firstFreePort is the first port that needs no right.
func firstFreePort(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start")
	if err != nil {
		t.Fatal(err)
	}
	var port int
	if _, err := fmt.Sscan(string(text), &port); err != nil {
		t.Fatal(err)
	}
	return port
}

// Two guests with the same MAC: as on any network, the last that sent has the
// address, and all others go on. Two interfaces of one guest are refused.
func TestSameMAC(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		d.OK("net-create", write(t, d, "faulty.xml", faulty))
		const mac = "52:54:00:84:00:01"
		nic := "<interface type='network'><mac address='" + mac + "'/><source network='faulty'/></interface>"
		d.Refused("two interfaces have the mac address '"+mac+"'", "define",
			write(t, d, "twice.xml", d.XML(testkit.Guest{Name: "twice", Devices: nic + nic})))
		first, third := boot(d, "first", "faulty", mac), boot(d, "third", "faulty", mac)
		other := boot(d, "other", "faulty", "52:54:00:84:00:02")
		first.Run("ip addr add 10.84.0.50/24 dev vec0 && ip link set vec0 up")
		address(other)
		meets(first, "10.84.0.12")
		third.Run("ip addr add 10.84.0.51/24 dev vec0 && ip link set vec0 up")
		meets(third, "10.84.0.12")
		meets(first, "10.84.0.12")
		meets(other, "10.84.0.1")
	})
}

// A guest that floods its network: others still reach each other, and the
// process stays small.
func TestFlood(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		d.OK("net-create", write(t, d, "faulty.xml", faulty))
		bad := boot(d, "bad", "faulty", "52:54:00:84:00:01")
		one, two := boot(d, "one", "faulty", "52:54:00:84:00:02"), boot(d, "two", "faulty", "52:54:00:84:00:03")
		for _, shell := range []*testkit.Shell{bad, one, two} {
			address(shell)
		}
		floods := map[string]string{
			"broadcast": "while :; do dd if=/dev/zero bs=1000 count=1000 2>/dev/null | nc -u -w 1 10.84.0.255 9; done",
			// An address that nobody has, with a MAC that nobody has.
			"unknown": "arp -s 10.84.0.99 02:00:00:00:00:99; while :; do dd if=/dev/zero bs=1000 count=1000 2>/dev/null | nc -u -w 1 10.84.0.99 9; done",
			"gateway": "while :; do dd if=/dev/zero bs=60000 count=100 2>/dev/null | nc -u -w 1 10.84.0.1 53; done",
		}
		for name, flood := range floods {
			bad.Run("(" + flood + ") >/dev/null 2>&1 & echo $! >/tmp/flood")
			meets(one, "10.84.0.13")
			meets(two, "10.84.0.1")
			for _, pid := range processes(d) {
				if kib := memory(t, pid); kib > 512<<10 {
					t.Errorf("in a flood of %s the process has %d KiB", name, kib)
				}
			}
			bad.Run("kill $(cat /tmp/flood)")
		}
	})
}

// memory is what a process has in memory that is its own, in KiB.
func memory(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	var kib int
	_, rest, _ := strings.Cut(string(text), "RssAnon:")
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		t.Fatal(err)
	}
	return kib
}

// A network's process that is killed again and again, and a network that is
// destroyed and started again: the guest comes back each time, its kernel does
// not spin meanwhile, and nothing is left.
func TestNetworkComesBack(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		d.OK("net-define", write(t, d, "faulty.xml", faulty))
		d.OK("net-start", "faulty")
		one, two := boot(d, "one", "faulty", "52:54:00:84:00:01"), boot(d, "two", "faulty", "52:54:00:84:00:02")
		address(one)
		address(two)
		meets(one, "10.84.0.12")
		supervisor := d.SupervisorPID("one")
		files := openFiles(t, supervisor)
		for range 5 {
			for _, pid := range processes(d) {
				if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
				testkit.AwaitEnd(t, pid)
			}
			meets(one, "10.84.0.12")
			meets(two, "10.84.0.1")
		}
		d.OK("net-destroy", "faulty")
		one.Fail("ping -c 1 -W 2 10.84.0.12")
		idle(t, d, one, "one")
		d.Kill()
		d.Start()
		d.OK("net-start", "faulty")
		one, two = again(d, "one"), again(d, "two")
		meets(one, "10.84.0.12")
		meets(two, "10.84.0.1")
		if now := openFiles(t, supervisor); now > files {
			t.Errorf("the supervisor has %d open files, before it had %d", now, files)
		}
		if now := processes(d); len(now) != 1 {
			t.Errorf("the network has the processes %d", now)
		}
		d.OK("net-destroy", "faulty")
	})
}

// idle checks that a guest's kernel uses less than a fifth of the time while
// the guest sleeps.
func idle(t *testing.T, d *testkit.Daemon, shell *testkit.Shell, name string) {
	t.Helper()
	before, begin := d.CPUTime(d.KernelPID(name)), time.Now()
	shell.Run("sleep 5")
	used, passed := d.CPUTime(d.KernelPID(name))-before, time.Since(begin)
	if used > passed/5 {
		t.Errorf("a kernel without a network uses %v in %v", used, passed)
	}
}

// again is a running guest's shell once more.
func again(d *testkit.Daemon, name string) *testkit.Shell {
	console := d.Console(name)
	console.Knock()
	return d.ShellOn(console)
}

func openFiles(t *testing.T, pid int) int {
	t.Helper()
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// A thousand short connections through the gateway, and those that are half
// open, leave nothing in the network's process.
func TestShortConnections(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		d.OK("net-create", write(t, d, "faulty.xml", faulty))
		one := boot(d, "one", "faulty", "52:54:00:84:00:01")
		address(one)
		meets(one, "10.84.0.1")
		server := answering(t)
		one.Run("dmesg -n 1; nc " + server + " </dev/null") // no words of a slow kernel between
		pid := processes(d)[0]
		files := openFiles(t, pid)
		for range 20 {
			got := one.Run("for i in $(seq 50); do nc " + server + " </dev/null; done | grep -o yes | wc -l")
			if strings.TrimSpace(got) != "50" {
				t.Errorf("%s of 50 connections were answered", got)
			}
		}
		for end := time.Now().Add(2 * time.Minute); openFiles(t, pid) > files; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("the process has %d open files, before it had %d", openFiles(t, pid), files)
			}
		}
	})
}

// answering is a server of the host beside its loopback that says "yes" and
// closes, as nc takes it.
func answering(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp4", net.JoinHostPort(hostAddress(t), "0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, "yes\n")
			conn.Close()
		}
	}()
	return strings.Replace(listener.Addr().String(), ":", " ", 1)
}

// hostAddress is an IPv4 address of the host beside its loopback's.
func hostAddress(t *testing.T) string {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range addresses {
		if network, ok := address.(*net.IPNet); ok && network.IP.To4() != nil && network.IP.IsGlobalUnicast() {
			return network.IP.String()
		}
	}
	t.Fatal("the host has no IPv4 address but its loopback's")
	return ""
}

// A guest cannot reach what listens on the host's loopback, however it writes
// the address, and cannot pass for the gateway.
func TestOutOfReach(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		d.OK("net-create", write(t, d, "faulty.xml", faulty))
		one, two := boot(d, "one", "faulty", "52:54:00:84:00:01"), boot(d, "two", "faulty", "52:54:00:84:00:02")
		address(one)
		address(two)
		meets(one, "10.84.0.1")
		meets(two, "10.84.0.1")
		came := make(chan string, 100)
		port := trap(t, came)
		one.Run("ip route add 127.0.0.2/32 via 10.84.0.1; echo 1 >/proc/sys/net/ipv4/conf/all/route_localnet; true")
		for _, to := range []string{"127.0.0.2", "10.84.0.1", "10.84.0.200", "169.254.1.1"} {
			one.Fail(fmt.Sprintf("nc -w 2 %s %d </dev/null", to, port))
			one.Run(fmt.Sprintf("echo x | nc -u -w 1 %s %d; true", to, port))
		}
		one.Fail("ping -c 1 -W 2 127.0.0.2")
		select {
		case what := <-came:
			t.Errorf("the host's loopback is reached: %s", what)
		default:
		}

		gateway := strings.Fields(two.Run("ip neigh show 10.84.0.1"))
		one.Run("ip addr add 10.84.0.1/32 dev vec0 && arping -c 3 -U -I vec0 10.84.0.1; ping -c 3 -W 1 -I 10.84.0.1 10.84.0.12; true")
		two.Run("ping -c 2 -W 5 10.84.0.1")
		if now := strings.Fields(two.Run("ip neigh show 10.84.0.1")); !slices.Equal(now[:5], gateway[:5]) {
			t.Errorf("a guest has taken the gateway's address: %q, before it was %q", now, gateway)
		}
	})
}

// trap listens on the host's loopback with TCP and UDP and tells what comes.
func trap(t *testing.T, came chan<- string) int {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			came <- "TCP"
			conn.Close()
		}
	}()
	port := listener.Addr().(*net.TCPAddr).Port
	packets, err := net.ListenPacket("udp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { packets.Close() })
	go func() {
		room := make([]byte, 2000)
		for {
			if _, _, err := packets.ReadFrom(room); err != nil {
				return
			}
			came <- "UDP"
		}
	}()
	return port
}

// A guest that asks for addresses with made-up MACs leaves some to others.
func TestExhaustion(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		d.OK("net-create", write(t, d, "faulty.xml", faulty))
		bad := boot(d, "bad", "faulty", "52:54:00:84:00:05")
		bad.Run(`for i in $(seq 10 20); do
  ip link set vec0 down; ip link set vec0 address 52:54:00:84:01:$i; ip link set vec0 up
  udhcpc -n -q -f -i vec0 -t 2 -T 1 -s /bin/true; done >/dev/null 2>&1; true`)
		good := boot(d, "good", "faulty", "52:54:00:84:00:06")
		if got := address(good); !strings.HasPrefix(got, "10.84.0.10") {
			t.Errorf("another guest has the address %q", got)
		}
		leases := d.OK("net-dhcp-leases", "faulty")
		if n := strings.Count(leases, " 52:54:00:84:01"); n == 0 || n > 4 {
			t.Errorf("one guest has %d of 8 addresses:\n%s", n, leases)
		}
	})
}

// A daemon that ends since it is idle leaves its networks active, and the next
// one, which may be a newer version, takes them over as they are.
func TestNetworksOutliveAnIdleDaemon(t *testing.T) {
	for _, id := range testkit.Identities {
		t.Run(string(id), func(t *testing.T) {
			t.Parallel()
			d := testkit.StartWithDefaultNetwork(t, id, "--timeout=15")
			d.OK("net-list") // the daemon is still there
			select {
			case <-d.Exited():
			case <-time.After(5 * time.Minute):
				t.Fatal("an active network keeps an idle daemon")
			}
			before := processes(d)
			if len(before) != 1 {
				t.Fatalf("after the daemon's end the network has the processes %d", before)
			}
			d.Start()
			if names := d.Lines("net-list", "--name"); !slices.Equal(names, []string{"default"}) {
				t.Errorf("active networks of the next daemon: %q", names)
			}
			if now := processes(d); !slices.Equal(now, before) {
				t.Errorf("the network has the processes %d, before it had %d", now, before)
			}
			d.OK("net-dhcp-leases", "default")
			d.OK("net-destroy", "default")
			if left := processes(d); len(left) > 0 {
				t.Errorf("processes %d are left", left)
			}
		})
	}
}
