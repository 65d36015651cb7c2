package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/fsnotify/fsnotify"

	"virtumld/internal/testkit"
)

// streamTime is how long each stream is measured.
const streamTime = "1s"

// way is a way between two machines, and how fast it was, in bytes a second.
type way struct {
	name string
	// run makes a stream, "send" or "take", as one of the machines.
	run   func(verb string) float64
	rates []float64
}

// inTurnsAll measures each way once, beginning with another one in each round.
func inTurnsAll(round int, ways []*way, verb string) {
	for i := range ways {
		w := ways[(i+round)%len(ways)]
		w.rates = append(w.rates, w.run(verb))
	}
}

func (w *way) median() float64  { return slices.Sorted(slices.Values(w.rates))[len(w.rates)/2] }
func (w *way) fastest() float64 { return slices.Max(w.rates) }

// reportRates tells the medians.
func reportRates(b *testing.B, ways []*way) {
	b.ReportMetric(0, "ns/op") // times all together: hidden
	for _, w := range ways {
		b.ReportMetric(w.median()/1e6, "MB/s-"+w.name)
	}
}

// reportShare tells the share of their rate that ours comes to: above 1
// virtumld is the faster one.
func reportShare(b *testing.B, ours, theirs *way) {
	name := ours.name + "/" + theirs.name
	b.ReportMetric(ours.median()/theirs.median(), name)
	b.ReportMetric(ours.fastest()/theirs.fastest(), name+"-fastest")
}

// inGuest is a way that begins in a guest.
func inGuest(b *testing.B, name string, shell *testkit.Shell, address string) *way {
	return &way{name: name, run: func(verb string) float64 {
		return rate(b, shell.Run("/tmp/stream "+verb+" "+address+" "+streamTime))
	}}
}

// inNamespace is a way that begins in a network namespace.
func inNamespace(b *testing.B, name string, n namespace, stream, address string) *way {
	return &way{name: name, run: func(verb string) float64 {
		return rate(b, n.run(b, stream, verb, address, streamTime))
	}}
}

const (
	tapHost  = "10.78.0.1"
	tapGuest = "10.78.0.2"
	// largeMTU is what slirp4netns's own manual advises for speed.
	largeMTU = 65520
)

// BenchmarkUserNetwork compares TCP between a guest and the host, through an
// <interface type='user'>, with slirp4netns between a network namespace and
// the host, and with a guest over a tap. Ours is measured with an MTU of 1500,
// too, and slirp4netns, whose own that is, with a large one.
func BenchmarkUserNetwork(b *testing.B) {
	d, stream := start(b), streamProgram(b)
	port := serveStreams(b, stream)
	server := hostAddress(b) + ":" + port
	user := func(name, extra string) *way {
		shell := ourGuest(b, d, name, stream, "<interface type='user'>"+extra+"</interface>")
		shell.Run("dhcp vec0")
		return inGuest(b, name, shell, server)
	}
	ours := user("user", "")
	small := user("user-1500", "<mtu size='1500'/>")
	theirs := inNamespace(b, "slirp4netns", slirp(b, 1500), stream, server)
	large := inNamespace(b, fmt.Sprint("slirp4netns-", largeMTU), slirp(b, largeMTU), stream, server)
	ways := []*way{ours, small, theirs, large}
	overTap := tapWay(b, d, stream, port)
	if overTap != nil {
		ways = append(ways, overTap)
	}
	for _, direction := range []struct{ name, verb string }{{"guest-to-host", "send"}, {"host-to-guest", "take"}} {
		b.Run(direction.name, func(b *testing.B) {
			for _, w := range ways {
				w.rates = nil
			}
			for round := 0; b.Loop(); round++ {
				inTurnsAll(round, ways, direction.verb)
			}
			reportRates(b, ways)
			for _, other := range ways[2:] {
				reportShare(b, ours, other)
			}
			reportShare(b, small, theirs)
			if overTap != nil {
				reportShare(b, overTap, large) // what a guest's kernel can at most
			}
		})
	}
}

// tapWay is a kernel run by hand over a tap: nil where only root may have one.
func tapWay(b *testing.B, d *testkit.Daemon, stream, port string) *way {
	b.Helper()
	if _, err := os.Stat("/dev/net/tun"); err != nil || os.Geteuid() != 0 {
		b.Log("not compared with a tap, which needs root and /dev/net/tun")
		return nil
	}
	shell := handGuest(b, d, "tap", stream, "vec0:transport=tap,ifname="+tap(b, tapHost+"/24")+",depth=128,gro=1")
	configure(shell, "vec0", tapGuest)
	return inGuest(b, "tap", shell, tapHost+":"+port)
}

func configure(shell *testkit.Shell, device, address string) {
	shell.Run("ip addr add " + address + "/24 dev " + device + " && ip link set " + device + " up")
}

// Addresses of the two guests of a comparison, and the server's port.
const (
	firstGuest  = "10.79.0.11"
	secondGuest = "10.79.0.12"
	guestPort   = "5001"
)

// BenchmarkGuestToGuest compares TCP between two guests on an isolated network
// with two guests on a uml_switch.
func BenchmarkGuestToGuest(b *testing.B) {
	d, stream := start(b), streamProgram(b)
	d.OK("net-create", d.File("lab.xml", "<network><name>lab</name></network>"))
	nic := "<interface type='network'><source network='lab'/></interface>"
	ours := guestsWay(b, "network", "vec0", ourGuest(b, d, "one", stream, nic), ourGuest(b, d, "two", stream, nic))

	eth := "eth0=daemon,,unix," + umlSwitch(b, d.Dir)
	theirs := guestsWay(b, "uml_switch", "eth0", handGuest(b, d, "three", stream, eth), handGuest(b, d, "four", stream, eth))
	ways := []*way{ours, theirs}
	for round := 0; b.Loop(); round++ {
		inTurnsAll(round, ways, "send")
	}
	reportRates(b, ways)
	reportShare(b, ours, theirs)
}

// guestsWay is a way from one guest to another.
func guestsWay(b *testing.B, name, device string, from, to *testkit.Shell) *way {
	b.Helper()
	configure(from, device, firstGuest)
	configure(to, device, secondGuest)
	to.Run("/tmp/stream serve :" + guestPort + " >/tmp/ready & until [ -s /tmp/ready ]; do sleep 1; done")
	return inGuest(b, name, from, secondGuest+":"+guestPort)
}

// umlSwitch runs a uml_switch and returns its socket.
func umlSwitch(b *testing.B, dir string) string {
	b.Helper()
	path, err := exec.LookPath("uml_switch")
	if err != nil {
		b.Fatalf("the package uml-utilities is missing: %v", err)
	}
	socket := filepath.Join(dir, "uml_switch")
	watcher, err := fsnotify.NewWatcher()
	must(b, err)
	defer watcher.Close()
	must(b, watcher.Add(dir))
	cmd := exec.Command(path, "-unix", socket)
	_, err = cmd.StdinPipe() // at whose end it would end
	must(b, err)
	background(b, cmd)
	for event := range watcher.Events {
		if event.Name == socket {
			break
		}
	}
	return socket
}
