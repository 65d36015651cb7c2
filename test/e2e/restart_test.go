package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"virtumld/internal/testkit"
)

// A daemon killed in the middle finds its guests, their consoles and their
// ends again.
func TestKilledDaemonFindsGuests(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		d.Boot(testkit.Guest{Name: "stays"})
		d.Boot(testkit.Guest{Name: "ends"})
		d.OK("create", d.File("t.xml", d.XML(testkit.Guest{Name: "transient", Disk: d.Rootfs("t.img")})))
		d.DestroyLater("transient")
		d.Define(d.XML(testkit.Guest{Name: "idle"}))
		d.Boot(testkit.Guest{Name: "paused"})
		d.OK("suspend", "paused")

		ending := d.Console("ends")
		ending.Expect(testkit.Prompt)
		console := d.Console("stays")
		console.Expect(testkit.Prompt)
		before := d.OK("dumpxml", "stays")
		ids := d.OK("list", "--id")
		pid := kernelPID(t, d, "ends")
		ending.Send("sleep 3; poweroff -f\n")
		ending.Expect("poweroff -f\r")

		d.Kill()
		console.Kill() // virsh itself waits for the next key
		ending.Kill()
		testkit.AwaitEnd(t, pid)
		d.Start()

		if after := d.OK("dumpxml", "stays"); after != before {
			t.Errorf("the live document has changed:\n%s\nwas:\n%s", after, before)
		}
		for domain, state := range map[string]string{
			"stays": "running (booted)", "transient": "running (booted)", "paused": "paused (user)",
			"ends": "shut off (shutdown)", "idle": "shut off (unknown)",
		} {
			if got := d.OK("domstate", domain, "--reason"); got != state {
				t.Errorf("domain %q is %q, want %q", domain, got, state)
			}
		}
		if out := d.OK("dominfo", "transient"); !strings.Contains(out, "Persistent:     no") {
			t.Errorf("the transient domain:\n%s", out)
		}
		if got := d.OK("list", "--id"); !subset(got, ids) {
			t.Errorf("the ids are %q, were %q", got, ids)
		}
		console = d.Console("stays")
		console.Knock()
		console.Send("echo again-$((1))\n")
		console.Expect(`again-1\r`)
		console.Leave()
		d.OK("resume", "paused")

		events := d.Events()
		d.OK("shutdown", "stays")
		events.Await("stays", "Stopped Shutdown")
	})
}

// kernelPID is the process of a running guest's kernel, as its status says.
func kernelPID(t *testing.T, d *testkit.Daemon, name string) int {
	t.Helper()
	status := "run/libvirt/uml/run"
	if d.URI != "uml:///session" {
		status = "run/libvirt/uml"
	}
	data, err := os.ReadFile(filepath.Join(d.Dir, status, name+".xml"))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`pid='(\d+)'`).FindSubmatch(data)
	if found == nil {
		t.Fatalf("no pid in\n%s", data)
	}
	pid, err := strconv.Atoi(string(found[1]))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// subset reports whether each line of a is one of b.
func subset(a, b string) bool {
	for line := range strings.Lines(a) {
		if line = strings.TrimSpace(line); line != "" && !strings.Contains(b+"\n", line+"\n") {
			return false
		}
	}
	return true
}

// SIGTERM ends the daemon and leaves the guests.
func TestStoppedDaemonLeavesGuests(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		d.Boot(testkit.Guest{Name: "vm"})
		before := d.OK("dumpxml", "vm")
		for range 3 {
			d.Stop()
			d.Start()
		}
		if after := d.OK("dumpxml", "vm"); after != before {
			t.Errorf("the live document has changed:\n%s\nwas:\n%s", after, before)
		}
	})
}
