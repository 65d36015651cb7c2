package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"virtumld/internal/testkit"
	"virtumld/internal/testkit/initrd"
)

const (
	// idleGuests is how many guests are plugged in.
	idleGuests = 100
	// bootsAtOnce is how many of them boot at the same time.
	bootsAtOnce = 4
	// idleTime is how long the network is watched in a round.
	idleTime = 5 * time.Second
)

// idleNetwork has a gateway with DHCP, and room for the guests.
const idleNetwork = `<network>
  <name>idle</name>
  <forward mode='nat'/>
  <ip address='10.80.0.1' netmask='255.255.0.0'><dhcp><range start='10.80.1.1' end='10.80.1.250'/></dhcp></ip>
  <ip family='ipv6' address='fd00:80::1' prefix='64'/>
</network>`

// idleScript takes the interface up with an address by DHCP, and IPv6's by
// itself, and then does nothing.
const idleScript = `busybox ip link set lo up
busybox ip link set vec0 up
printf '#!/bin/sh\n[ -z "$ip" ] || busybox ip addr add "$ip/16" dev "$interface"\n' >/tmp/lease
busybox chmod +x /tmp/lease
busybox udhcpc -i vec0 -s /tmp/lease -n -t 20 -q && echo plugged in
while :; do sleep 1000; done`

// BenchmarkIdleNetwork has 100 guests on one network, with addresses by DHCP,
// that do nothing, and tells what part of a core the network's process takes.
func BenchmarkIdleNetwork(b *testing.B) {
	d := start(b)
	image := d.File("initrd", readFile(b, initrd.Build(b, idleScript)))
	must(b, os.Chmod(image, 0o644)) // the guests of root are another user's
	d.OK("net-create", d.File("idle.xml", idleNetwork))
	pid := supervisorOf(b, d.PID, "virtumld\x00network\x00")
	bootIdle(b, d, image)
	leases := strings.Count(d.OK("net-dhcp-leases", "idle"), "10.80.1.")
	if leases != idleGuests {
		b.Fatalf("%d guests have an address, want %d", leases, idleGuests)
	}
	time.Sleep(settle)

	before, begin := onProcessor(b, pid), time.Now()
	for b.Loop() {
		time.Sleep(idleTime)
	}
	used, took := onProcessor(b, pid)-before, time.Since(begin)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(100*used.Seconds()/took.Seconds(), "%-of-a-core")
	b.ReportMetric(memoryOf(b, pid)["VmRSS"], "KiB-resident")
}

// bootIdle boots the guests and waits until each has an address.
func bootIdle(b *testing.B, d *testkit.Daemon, image string) {
	b.Helper()
	var booting []*testkit.Terminal
	for i := range idleGuests {
		name := fmt.Sprint("idle", i)
		nic := "<interface type='network'><source network='idle'/></interface></devices>"
		d.Define(strings.Replace(idleDocument(b, name, image), "</devices>", nic, 1))
		d.OK("start", name)
		d.DestroyLater(name)
		booting = append(booting, d.Console(name))
		if len(booting) == bootsAtOnce || i == idleGuests-1 {
			for _, console := range booting {
				console.Expect("plugged in")
				console.Send("\x1d") // which ends virsh
			}
			booting = nil
		}
	}
}

// onProcessor is how long the threads of a process have run: the first number
// of their /proc/PID/task/TID/schedstat (Documentation/scheduler/sched-stats),
// in nanoseconds where the process's own times are in ticks of 10 ms.
func onProcessor(b *testing.B, pid int) time.Duration {
	b.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	must(b, err)
	var total time.Duration
	for _, thread := range threads {
		var ran time.Duration
		_, err := fmt.Sscan(readFile(b, thread), &ran)
		must(b, err)
		total += ran
	}
	return total
}
