package virtuml

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"virtumld/internal/testkit"
)

const captured = `<network>
  <name>wire</name>
  <ip address='10.72.0.1' netmask='255.255.255.0'>
    <dhcp><range start='10.72.0.2' end='10.72.0.9'/></dhcp>
  </ip>
</network>
`

// What passes through a network and through one interface is in a file that
// others can read, as many frames as the capture says.
func TestCapture(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		build(t)
		d.OK("net-create", d.File("wire.xml", captured))
		d.Boot(testkit.Guest{Name: "vm", Devices: `
			<interface type='network'><mac address='52:54:00:72:00:01'/><source network='wire'/></interface>
			<interface type='user'><mac address='52:54:00:72:00:02'/></interface>`})
		shell := d.Shell("vm")
		shell.Run("dhcp vec0 && dhcp vec1")
		for i, test := range []struct{ what, gateway string }{
			{"wire", "10.72.0.1"},
			{"vm:vec0", "10.72.0.1"},
			{"vm:52:54:00:72:00:02", "10.0.2.2"},
		} {
			file := filepath.Join(d.Dir, fmt.Sprint(i, ".pcapng"))
			args := []string{program(), "network", "capture", "--connect", d.URI, test.what}
			script, place := `exec "$@" >"$0"`, file
			if i > 0 {
				script = `exec "$@" -w "$0"`
			}
			term := d.Terminal("sh", append([]string{"-c", script, place}, args...)...)
			term.Expect("capturing .*; ")
			shell.Run("ping -c 3 " + test.gateway)
			term.Send("\x03")
			count, err := strconv.Atoi(term.Expect(`(\d+) frames of .* captured`)[1])
			if err != nil {
				t.Fatal(err)
			}
			all, pings := read(t, file)
			if all != count || pings[layers.ICMPv4TypeEchoRequest] != 3 || pings[layers.ICMPv4TypeEchoReply] != 3 {
				t.Errorf("%s: %d frames said, %d there: %v", test.what, count, all, pings)
			}
		}
	})
}

// read counts what a capture holds.
func read(t *testing.T, path string) (all int, pings map[uint8]int) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r, err := pcapgo.NewNgReader(file, pcapgo.NgReaderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pings = map[uint8]int{}
	for {
		data, _, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			return all, pings
		}
		if err != nil {
			t.Fatal(err)
		}
		all++
		packet := gopacket.NewPacket(data, layers.LayerTypeEthernet, gopacket.Default)
		if icmp, ok := packet.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4); ok {
			pings[icmp.TypeCode.Type()]++
		}
	}
}

// What cannot be captured is said in words of the command line.
func TestCaptureRefused(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		build(t)
		d.OK("net-define", d.File("wire.xml", captured))
		for name, devices := range map[string]string{
			"bare": "", "two": "<interface type='user'/><interface type='user'/>", "wire": "<interface type='user'/>",
		} {
			d.Define(d.XML(testkit.Guest{Name: name, Devices: devices}))
		}
		d.Boot(testkit.Guest{Name: "up"})
		d.Boot(testkit.Guest{Name: "up2", Devices: "<interface type='user'/><interface type='user'/>"})
		for _, test := range []struct{ word, want string }{
			{"nosuch", "neither a network nor a domain"},
			{"nosuch:vec0", "neither a network nor a domain"},
			{"wire", "is a network and a domain"},
			{"two", "does not run"},
			{"up", "has no interface"},
			{"up2", "several interfaces"},
			{"up2:vec7", `has no interface "vec7"`},
		} {
			r := d.Run("sh", "-c", `exec "$0" network capture --connect "$1" "$2" >/dev/null`, program(), d.URI, test.word)
			if r.Code != 1 || !strings.Contains(r.Stderr, test.want) {
				t.Errorf("%s: %d, %q, want %q", test.word, r.Code, r.Stderr, test.want)
			}
		}
		d.OK("undefine", "wire")
		r := d.Run("sh", "-c", `exec "$0" network capture --connect "$1" wire >/dev/null`, program(), d.URI)
		if r.Code != 1 || !strings.Contains(r.Stderr, "is not active: virsh net-start wire") {
			t.Errorf("an inactive network: %d, %q", r.Code, r.Stderr)
		}
	})
}
