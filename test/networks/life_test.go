package networks

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"virtumld/internal/testkit"
)

// write puts a document into a file that virsh can read, and returns its path.
func write(t *testing.T, d *testkit.Daemon, name, document string) string {
	t.Helper()
	path := filepath.Join(d.Dir, name)
	if err := os.WriteFile(path, []byte(document), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

const quiet = `<network>
  <name>quiet</name>
  <uuid>2b2f8a52-7c0d-4a8e-9d77-3a4d5e6f7081</uuid>
  <bridge name='quiet0' stp='on' delay='0'/>
  <mac address='52:54:00:00:00:aa'/>
</network>
`

func TestLife(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		d.OK("net-define", write(t, d, "quiet.xml", quiet), "--validate")
		if got := d.OK("net-dumpxml", "quiet"); got+"\n" != quiet {
			t.Errorf("the document is\n%s", got)
		}
		d.Refused("network 'quiet' is not active", "net-destroy", "quiet")
		d.OK("net-autostart", "quiet")
		d.OK("net-start", "quiet")
		d.Refused("network is already active", "net-start", "quiet")
		info := d.OK("net-info", "quiet")
		for _, line := range []string{"Active:         yes", "Persistent:     yes", "Autostart:      yes", "Bridge:         quiet0"} {
			if !strings.Contains(info, line) {
				t.Errorf("%q is not in\n%s", line, info)
			}
		}
		d.OK("net-update", "quiet", "add", "portgroup", "<portgroup name='slow'/>", "--live", "--config")
		d.Kill()
		d.Start()
		if names := d.Lines("net-list", "--name"); !slices.Equal(names, []string{"quiet"}) {
			t.Errorf("active networks after the daemon's death: %q", names)
		}
		if got := d.OK("net-dumpxml", "quiet"); !strings.Contains(got, "<portgroup name='slow'>") {
			t.Errorf("the change is lost:\n%s", got)
		}
		d.OK("net-destroy", "quiet")
		d.OK("net-undefine", "quiet")
		if names := d.Lines("net-list", "--all", "--name"); len(names) != 0 {
			t.Errorf("networks in the end: %q", names)
		}
	})
}

// A network's process that is killed is started again at once.
func TestProcessKilled(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		d.OK("net-create", write(t, d, "quiet.xml", quiet))
		pid := processes(d)
		if len(pid) != 1 {
			t.Fatalf("processes %d, want one", pid)
		}
		if err := syscall.Kill(pid[0], syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		testkit.AwaitEnd(t, pid[0])
		// The network's turn is taken for the restart: this waits for it or
		// ends what is left.
		d.OK("net-destroy", "quiet")
		if left := processes(d); len(left) != 0 {
			t.Errorf("processes %d are left", left)
		}
	})
}

// processes are the network processes of an instance.
func processes(d *testkit.Daemon) []int {
	var found []int
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		cmdline, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if args := strings.Split(string(cmdline), "\x00"); err == nil && len(args) > 2 && args[1] == "network" && strings.HasPrefix(args[2], d.Dir+"/") {
			pid, _ := strconv.Atoi(filepath.Base(dir))
			found = append(found, pid)
		}
	}
	return found
}

// The network "default" is there and active after the first start, and stays
// away once it was removed.
func TestDefaultNetwork(t *testing.T) {
	for _, id := range testkit.Identities {
		t.Run(string(id), func(t *testing.T) {
			t.Parallel()
			d := testkit.StartWithDefaultNetwork(t, id)
			// The daemon starts it beside serving clients; whoever comes
			// second is told so.
			if r := d.Virsh("net-start", "default"); r.Code != 0 && !strings.Contains(r.Stderr, "network is already active") {
				t.Fatalf("net-start: %s", r.Stderr)
			}
			info := d.OK("net-info", "default")
			for _, line := range []string{"Active:         yes", "Autostart:      yes", "Bridge:         virbr"} {
				if !strings.Contains(info, line) {
					t.Errorf("%q is not in\n%s", line, info)
				}
			}
			if xml := d.OK("net-dumpxml", "default"); !strings.Contains(xml, "<range start='192.168.122.2' end='192.168.122.254'/>") {
				t.Errorf("the document is\n%s", xml)
			}
			d.OK("net-dhcp-leases", "default")
			d.OK("net-destroy", "default")
			d.OK("net-undefine", "default")
			d.Stop()
			d.Start()
			if names := d.Lines("net-list", "--all", "--name"); len(names) != 0 {
				t.Errorf("networks once it was removed: %q", names)
			}
		})
	}
}
