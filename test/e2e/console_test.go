package e2e

import (
	"fmt"
	"testing"

	"virtumld/internal/testkit"
)

// The console shows the boot from its first bytes and outlives every client.
func TestConsole(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		d.Define(d.XML(testkit.Guest{Name: "vm", Disk: d.Rootfs("vm.img")}))
		d.DestroyLater("vm")
		first := d.Terminal("virsh", "--connect", d.URI, "start", "--console", "vm")
		first.Expect(`Linux version`)
		first.Expect(testkit.ShellReady)
		first.Expect(testkit.Prompt)
		first.Leave()

		for round := range 5 {
			console := d.Console("vm", "--safe")
			console.Knock()
			console.Send(fmt.Sprintf("echo round-$((%d+0))\n", round))
			console.Expect(fmt.Sprintf("round-%d\r", round))
			if round%2 == 0 {
				console.Leave()
			} else {
				console.Kill()
			}
		}
	})
}

// One client at a time; --force takes the console over and the other is told.
func TestConsoleTwoClients(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		d.Boot(testkit.Guest{Name: "vm"})
		first := d.Console("vm")
		first.Expect(testkit.Prompt)
		second := d.Console("vm")
		second.Expect(`Active console session exists for this domain`)
		if second.Wait() == 0 {
			t.Error("the second client succeeded")
		}
		third := d.Console("vm", "--force")
		third.Knock()
		first.Wait()
		third.Send("echo still-$((1))\n")
		third.Expect(`still-1\r`)
		third.Leave()

		none := d.Console("vm", "--devname", "serial9")
		none.Expect(`cannot find character device`)
		none.Wait()
	})
}

// A flood of output stalls neither the guest nor the daemon, and reaches a
// client that reads.
func TestConsoleFlood(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		d.Boot(testkit.Guest{Name: "vm"})
		console := d.Console("vm")
		console.Expect(testkit.Prompt)
		console.Send("yes 0123456789012345678901234567890123456789 | head -n 50000; echo flood-$((1))-over\n")
		if got := d.OK("domstate", "vm"); got != "running" {
			t.Errorf("state during the flood: %q", got)
		}
		console.Expect(`flood-1-over\r`)
		console.Leave()

		// The same with nobody there.
		console = d.Console("vm")
		console.Knock()
		console.Send("(yes | head -n 200000; echo done >/tmp/done) &\n")
		console.Expect(`echo done >/tmp/done`)
		console.Leave()
		console = d.Console("vm")
		console.Knock()
		console.Send("while [ ! -e /tmp/done ]; do usleep 100000; done; echo quiet-$((1))\n")
		console.Expect(`quiet-1\r`)
		console.Leave()
	})
}

// A console ends by itself when its guest ends.
func TestConsoleEndsWithGuest(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		d.Boot(testkit.Guest{Name: "vm"})
		console := d.Console("vm")
		console.Expect(testkit.Prompt)
		d.OK("destroy", "vm")
		console.Wait()

		none := d.Console("vm")
		none.Expect(`domain is not running`)
		none.Wait()
	})
}
