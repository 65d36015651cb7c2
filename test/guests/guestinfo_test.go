package guests

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"virtumld/internal/testkit"
)

// What stock virsh learns of a guest that has no agent.
func TestGuestInfo(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		const mac = "52:54:00:00:00:07"
		second := d.Rootfs("second.img")
		d.Boot(testkit.Guest{Name: "vm", Devices: fmt.Sprintf(
			`<disk type='file'><driver type='raw'/><source file='%s'/><target dev='ubd3' bus='uml'/></disk>
			<interface type='mcast'><mac address='%s'/><source address='230.0.0.1' port='%d'/></interface>`,
			second, mac, testkit.FreePort(t))})
		shell := d.Shell("vm")

		shell.Run("hostname other.name; mkdir '/mnt/a b'; mount /dev/ubdd '/mnt/a b'")
		if got := d.OK("domhostname", "vm"); got != "other.name" {
			t.Errorf("domhostname: %q", got)
		}
		if got := strings.Join(strings.Fields(d.OK("domfsinfo", "vm")), " "); !strings.Contains(got, "/ ubda ext4 ubd0") || !strings.Contains(got, "/mnt/a b ubdd ext4 ubd3") || strings.Contains(got, "tmpfs") {
			t.Errorf("domfsinfo: %s", got)
		}

		// Before the guest has files about itself, what there is is told.
		bare := info(d.OK("guestinfo", "vm"))
		if bare["os.id"] != "" || bare["timezone.name"] != "" || bare["hostname"] != "other.name" {
			t.Errorf("guestinfo: %v", bare)
		}
		d.Refused("does not let this file be read", "guestinfo", "vm", "--timezone")
		d.Refused("does not tell of its users", "guestinfo", "vm", "--user")
		shell.Run(`echo 'ID=tiny' >/etc/os-release; echo 'PRETTY_NAME="A tiny one"' >>/etc/os-release; echo Etc/UTC >/etc/timezone`)
		full := info(d.OK("guestinfo", "vm"))
		for key, want := range map[string]string{
			"os.id": "tiny", "os.pretty-name": "A tiny one", "os.kernel-release": shell.Run("uname -r"), "os.machine": shell.Run("uname -m"),
			"timezone.name": "Etc/UTC", "hostname": "other.name", "fs.count": "2", "fs.1.mountpoint": "/mnt/a b", "fs.1.disk.0.alias": "ubd3",
			"disk.count": "2", "disk.0.name": "/dev/ubda", "disk.1.alias": "ubd3", "if.count": "1", "if.0.name": "vec0", "if.0.hwaddr": mac,
		} {
			if full[key] != want {
				t.Errorf("guestinfo: %s is %q, want %q", key, full[key], want)
			}
		}
		if os := info(d.OK("guestinfo", "vm", "--os")); os["os.id"] != "tiny" || os["hostname"] != "" {
			t.Errorf("guestinfo --os: %v", os)
		}

		shell.Run("date -s @2000000000")
		found := regexp.MustCompile(`Time: (\d+)`).FindStringSubmatch(d.OK("domtime", "vm"))
		if found == nil {
			t.Fatal("domtime does not tell the time")
		}
		if at, err := strconv.ParseInt(found[1], 10, 64); err != nil || at < 2000000000 || at > 2000000600 {
			t.Errorf("domtime: %v, %v", found, err)
		}

		d.Refused("cannot be set from outside", "domtime", "vm", "--time", "5")
		d.OK("suspend", "vm")
		if got := d.OK("domhostname", "vm"); got != "other.name" {
			t.Errorf("domhostname of a paused guest: %q", got)
		}
		d.OK("resume", "vm")
		signal(t, d.KernelPID("vm"), syscall.SIGSTOP)
		for _, command := range []string{"domhostname", "guestinfo", "domfsinfo", "domtime"} {
			d.Refused("answer", command, "vm")
		}
		signal(t, d.KernelPID("vm"), syscall.SIGCONT)
		d.OK("destroy", "vm")
		for _, command := range []string{"domhostname", "guestinfo", "domfsinfo", "domtime"} {
			d.Refused("domain is not running", command, "vm")
		}
	})
}

// info reads what virsh guestinfo prints.
func info(text string) map[string]string {
	values := make(map[string]string)
	for line := range strings.Lines(text) {
		if key, value, found := strings.Cut(line, ":"); found {
			values[strings.TrimSpace(key)] = strings.TrimSpace(value)
		}
	}
	return values
}
