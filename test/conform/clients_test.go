package conform

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/proto"
	"virtumld/internal/testkit"
	"virtumld/internal/wire"
)

// A client that is gone before its call is done changes nothing about the
// call: the start completes.
func TestClientLeavesDuringStart(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		d.Define(d.XML(testkit.Guest{Name: "vm", Disk: d.Rootfs("vm.img")}))
		d.DestroyLater("vm")
		events := d.Events()
		c := dial(t, d.Socket)
		c.open(0)
		var found libvirt.DomainLookupByNameRet
		c.ok(proto.DomainLookupByName, &libvirt.DomainLookupByNameArgs{Name: "vm"}, &found)
		c.serial++
		c.send(wire.Call, wire.OK, proto.ProgramRemote, proto.DomainCreate, encode(t, &libvirt.DomainCreateArgs{Dom: found.Dom}))
		c.conn.Close()
		events.Await("vm", "Started Booted")
		answer{"domstate vm --reason", false, "running (booted)"}.check(t, d)
		d.OK("destroy", "vm")
	})
}

// A client that dies with a console open, in the middle of its output, leaves
// the console to the next one.
func TestClientLeavesDuringStream(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		d.Boot(testkit.Guest{Name: "vm"})
		console := d.Console("vm")
		console.Expect(testkit.Prompt)
		console.Send("yes 0123456789\n")
		for range 3 {
			console.Expect("0123456789\r\n0123456789")
			console.Kill()
			console = d.Console("vm")
		}
		console.Expect("0123456789\r\n0123456789")
		console.Send("\x03\necho alive-$((1))\n")
		console.Expect(`alive-1\r`)
		console.Leave()
	})
}

// Whatever comes in on a socket ends at most that connection, and nothing of
// it is left.
func TestHostileClients(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		d.Define(d.XML(testkit.Guest{Name: "vm"}))
		worker := dial(t, d.Socket)
		worker.open(0)
		works := func() {
			t.Helper()
			worker.ok(proto.ConnectGetType, nil, nil)
		}
		before := descriptors(t, d)
		for name, attack := range map[string]func(*testing.T, *testkit.Daemon){
			"random bytes":    randomBytes,
			"random payloads": randomPayloads,
			"half packets":    halfPackets,
			"stray streams":   strayStreams,
			"long strings":    longStrings,
			"big packets":     bigPackets,
			"many clients":    manyClients,
		} {
			t.Run(name, func(t *testing.T) { attack(t, d) })
			works()
			if got := d.Lines("list", "--all", "--name"); len(got) != 1 || got[0] != "vm" {
				t.Fatalf("after %s: domains %q", name, got)
			}
		}
		awaitDescriptors(t, d, before)
		checkMemory(t, d)
		checkGoroutines(t, d)
	})
}

// newRand makes the same numbers in every run.
func newRand() *rand.ChaCha8 { return rand.NewChaCha8([32]byte{1}) }

func randomBytes(t *testing.T, d *testkit.Daemon) {
	random := newRand()
	for size := 1; size < 1<<17; size *= 2 {
		c := dial(t, d.Socket)
		data := make([]byte, size)
		random.Read(data)
		// The daemon may hang up before all is written.
		c.conn.Write(data)
		c.conn.CloseWrite()
		c.ended()
	}
}

// randomPayloads calls every procedure with arguments of random bytes.
func randomPayloads(t *testing.T, d *testkit.Daemon) {
	random := newRand()
	c := dial(t, d.Socket)
	c.open(0)
	for _, procedure := range proto.Procedures(proto.ProgramRemote) {
		for size := 4; size < 1000; size *= 3 {
			payload := make([]byte, size&^3)
			random.Read(payload)
			c.call(proto.ProgramRemote, procedure.Number, payload)
		}
	}
}

// halfPackets are left in the middle, with lengths that lie.
func halfPackets(t *testing.T, d *testkit.Daemon) {
	packet := wire.Begin(nil, wire.Header{Program: proto.ProgramRemote, Version: proto.Version, Procedure: proto.ConnectOpen})
	for _, length := range []uint32{0, 1, 27, 28, 29, 32, 1 << 20, wire.MaxPacket, wire.MaxPacket + 1, 1 << 31, 1<<32 - 1} {
		for _, sent := range []int{1, 4, 5, 27, 28} {
			c := dial(t, d.Socket)
			binary.BigEndian.PutUint32(packet, length)
			if _, err := c.conn.Write(packet[:sent]); err != nil {
				t.Fatal(err)
			}
			c.conn.CloseWrite()
			c.ended()
		}
	}
}

// strayStreams belong to no call.
func strayStreams(t *testing.T, d *testkit.Daemon) {
	c := dial(t, d.Socket)
	c.open(0)
	for _, status := range []wire.Status{wire.OK, wire.Error, wire.Continue, 99} {
		for _, kind := range []wire.Type{wire.Stream, wire.StreamHole, wire.Reply, wire.Message, 99} {
			c.send(kind, status, proto.ProgramRemote, proto.DomainOpenConsole, make([]byte, 1000))
		}
	}
	c.ok(proto.ConnectGetType, nil, nil)
}

// longStrings are at and above the limit of one string, 4 MiB.
func longStrings(t *testing.T, d *testkit.Daemon) {
	c := dial(t, d.Socket)
	c.open(0)
	for _, size := range []int{4 << 20, 4<<20 + 1} {
		for _, filler := range []string{"<", "a", "<a>", "<domain><devices>" + strings.Repeat("<disk/>", 1<<19)} {
			text := bytes.Repeat([]byte(filler), size/len(filler)+1)[:size]
			payload := binary.BigEndian.AppendUint32(nil, uint32(size))
			payload = append(append(payload, text...), make([]byte, -size&3)...)
			p := c.call(proto.ProgramRemote, proto.DomainDefineXML, payload)
			if p.Status != wire.Error {
				t.Errorf("%d bytes of %.20q were defined", size, filler)
			}
			if e := decodeError(t, p); len(e.Message) == 0 || len(e.Message[0]) > 1<<20 {
				t.Errorf("%d bytes of %.20q: an error of %d texts", size, filler, len(e.Message))
			}
		}
	}
}

// bigPackets are as large as packets may be.
func bigPackets(t *testing.T, d *testkit.Daemon) {
	c := dial(t, d.Socket)
	c.open(0)
	most := make([]byte, wire.MaxPacket-wire.MinPacket)
	for _, procedure := range []int32{proto.ConnectGetType, proto.DomainDefineXML, proto.ConnectGetAllDomainStats, 9999} {
		if p := c.call(proto.ProgramRemote, procedure, most); p.Status != wire.Error {
			t.Errorf("procedure %d took %d bytes", procedure, len(most))
		}
	}
}

// manyClients come at once, half of them with a packet that never ends.
func manyClients(t *testing.T, d *testkit.Daemon) {
	const count = 200
	var clients []*rawClient
	for i := range count {
		c := dial(t, d.Socket)
		if i%2 == 0 {
			c.conn.Write([]byte{0, 0, 1})
		}
		clients = append(clients, c)
	}
	var group sync.WaitGroup
	for i, c := range clients {
		if i%2 == 1 {
			group.Go(func() {
				c.open(0)
				c.ok(proto.ConnectListAllDomains, &libvirt.ConnectListAllDomainsArgs{NeedResults: 1}, nil)
			})
		}
	}
	group.Wait()
	for _, c := range clients {
		c.conn.Close()
	}
}

// descriptors counts the daemon's open files.
func descriptors(t *testing.T, d *testkit.Daemon) int {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", d.PID))
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// awaitDescriptors waits until the daemon has no more open files than want.
// The clients that it is asked by in between are gone before it is looked at.
func awaitDescriptors(t *testing.T, d *testkit.Daemon, want int) {
	t.Helper()
	for deadline := time.Now().Add(testkit.Patience); ; {
		got := descriptors(t, d)
		if got <= want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the daemon has %d open files, had %d", got, want)
		}
		d.OK("uri")
	}
}

// maxResident is what the daemon may keep after the attacks, in KiB. The race
// detector, which it is built with, takes several times what it takes without.
const maxResident = 512 << 10

func checkMemory(t *testing.T, d *testkit.Daemon) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(d.PID), "status"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(data), "VmRSS:")
	resident, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("resident: %d KiB", resident)
	if resident > maxResident {
		t.Errorf("the daemon holds %d KiB, want at most %d", resident, maxResident)
	}
}

// maxGoroutines is more than a daemon with one client and no guest has.
const maxGoroutines = 40

// checkGoroutines has the daemon end with a dump of its goroutines, and starts
// it again.
func checkGoroutines(t *testing.T, d *testkit.Daemon) {
	t.Helper()
	if err := syscall.Kill(d.PID, syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	<-d.Exited()
	count := strings.Count(d.Log(), "\ngoroutine ")
	t.Logf("goroutines: %d", count)
	if count > maxGoroutines {
		t.Errorf("the daemon has %d goroutines, want at most %d", count, maxGoroutines)
	}
	if count == 0 {
		t.Errorf("no goroutines in the log:\n%s", d.Log())
	}
	d.Start()
}
