package guests

import (
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"

	"virtumld/internal/testkit"
)

// An <interface type='user'> is given an address, reaches its gateway and the
// host's own servers, and is reached by the ports that lead to it; all that
// again when the network's process was killed.
func TestUserInterface(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		forward := testkit.FreePort(t)
		d.Boot(testkit.Guest{Name: "vm", Devices: fmt.Sprintf(`<interface type='user'>
  <mac address='52:54:00:00:00:07'/><backend type='passt'/>
  <portForward proto='tcp' address='127.0.0.1'><range start='%d' to='7'/></portForward>
</interface>`, forward)})
		server := greeter(t)
		shell := d.Shell("vm")
		shell.Run("dhcp vec0")
		if got := shell.Run("ip -4 addr show dev vec0"); !strings.Contains(got, "10.0.2.15/24") {
			t.Errorf("the guest's address is\n%s", got)
		}
		shell.Run("nc -ll -p 7 -e cat >/dev/null 2>&1 &")
		check := func() {
			t.Helper()
			meets(shell, "10.0.2.2")
			if got := shell.Run("nc " + server + " </dev/null"); got != greeting {
				t.Errorf("the host's server says %q", got)
			}
			line := d.Dial("tcp", fmt.Sprint("127.0.0.1:", forward))
			line.Send("there and back\n")
			line.Expect("there and back")
			line.Close()
		}
		check()
		if got := d.OK("domifaddr", "vm", "--source", "lease"); !strings.Contains(got, "10.0.2.15/24") {
			t.Errorf("domifaddr says\n%s", got)
		}
		if got := d.OK("domifstat", "vm", "52:54:00:00:00:07"); !strings.Contains(got, "rx_bytes") || strings.Contains(got, "rx_bytes 0\n") {
			t.Errorf("domifstat says\n%s", got)
		}
		for _, pid := range d.NetworkPIDs("vm") {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			testkit.AwaitEnd(t, pid)
		}
		check()
		// A port that is taken refuses the start.
		d.Define(d.XML(testkit.Guest{Name: "late", Disk: d.Rootfs("late.img"), Devices: fmt.Sprintf(
			`<interface type='user'><backend type='passt'/><portForward proto='tcp' address='127.0.0.1'><range start='%d'/></portForward></interface>`, forward)}))
		d.DestroyLater("late")
		d.Refused(fmt.Sprint(forward), "start", "late")
	})
}

const greeting = "hello from the host"

// greeter serves the greeting on an address of the host that is not its
// loopback's, and returns it as nc takes it.
func greeter(t *testing.T) string {
	t.Helper()
	ip := hostAddress(t)
	listener, err := net.Listen("tcp4", net.JoinHostPort(ip, "0"))
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
			_, _ = io.WriteString(conn, greeting)
			conn.Close()
		}
	}()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	return ip + " " + port
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
