package console

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"virtumld/internal/domxml"
)

const patience = 20 * time.Second

// rig is a line with the kernel's end of it.
type rig struct {
	*Line
	t     *testing.T
	guest *os.File
	spoke chan struct{}
	log   bytes.Buffer
}

func open(t *testing.T, dev domxml.Chardev) *rig {
	t.Helper()
	r := &rig{t: t, spoke: make(chan struct{}, 10)}
	line, err := Open("con0", dev, &r.log, func() { r.spoke <- struct{}{} })
	if err != nil {
		t.Fatal(err)
	}
	r.Line = line
	t.Cleanup(line.Close)
	r.boot()
	return r
}

func (r *rig) boot() {
	r.t.Helper()
	guest, err := r.Boot()
	if err != nil {
		r.t.Fatal(err)
	}
	r.guest = guest
	r.t.Cleanup(func() { guest.Close() })
}

// say writes as the guest does, which must never have to wait long.
func (r *rig) say(text string) {
	r.t.Helper()
	if err := r.guest.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		r.t.Fatal(err)
	}
	if _, err := io.WriteString(r.guest, text); err != nil {
		r.t.Fatalf("the guest was stalled: %v", err)
	}
}

// end is the kernel's death: all that it has said has been taken then.
func (r *rig) end() {
	r.guest.Close()
	r.EndBoot(patience)
}

// client opens the pty as any program would.
func (r *rig) client() *os.File {
	r.t.Helper()
	fd, err := unix.Open(r.PTY(), unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), r.PTY())
	r.t.Cleanup(func() { f.Close() })
	return f
}

type deadliner interface {
	io.Reader
	SetReadDeadline(time.Time) error
}

func expect(t *testing.T, from deadliner, want string) {
	t.Helper()
	if err := from.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(want))
	if n, err := io.ReadFull(from, got); err != nil {
		t.Fatalf("got %q, %v; want %q", got[:n], err, want)
	}
	if string(got) != want {
		t.Fatalf("got %q, want %q", got, want)
	}
}

// numbers is output whose every part says where it is from.
func numbers(from, to int) string {
	var b strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintf(&b, "%07d\n", i)
	}
	return b.String()
}

func TestPTYKeepsTheBootAndSurvivesDisconnects(t *testing.T) {
	r := open(t, domxml.Chardev{Type: domxml.ChardevPTY})
	first := numbers(0, 5000) // 40 KB, with nobody there
	r.say(first)
	c := r.client()
	expect(t, c, first)
	for i := range 5 {
		c.Close()
		r.say(fmt.Sprintf("away %d\n", i))
		c = r.client()
		expect(t, c, fmt.Sprintf("away %d\n", i))
		fmt.Fprintf(c, "typed %d\x03\x04\n", i) // raw: nothing is a signal
		expect(t, r.guest, fmt.Sprintf("typed %d\x03\x04\n", i))
	}
}

func TestPTYSurvivesRestarts(t *testing.T) {
	r := open(t, domxml.Chardev{Type: domxml.ChardevPTY})
	c := r.client()
	for i := range 3 {
		r.say(fmt.Sprintf("boot %d\n", i))
		expect(t, c, fmt.Sprintf("boot %d\n", i))
		fmt.Fprintf(c, "typed %d\n", i)
		expect(t, r.guest, fmt.Sprintf("typed %d\n", i))
		<-r.spoke
		r.end()
		if got := string(r.Tail()); got != fmt.Sprintf("boot %d\n", i) {
			t.Errorf("tail %q", got)
		}
		r.boot()
	}
}

// With nobody reading, the newest output is kept, without a hole.
func TestPTYKeepsTheNewest(t *testing.T) {
	r := open(t, domxml.Chardev{Type: domxml.ChardevPTY})
	const last = 500_000 // 4 MB
	r.say(numbers(0, last))
	r.end()
	c := r.client()
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	end := fmt.Sprintf("%07d\n", last-1)
	var got []byte
	buffer := make([]byte, 4096)
	for !bytes.HasSuffix(got, []byte(end)) {
		n, err := c.Read(buffer)
		if err != nil {
			t.Fatalf("%v after %d bytes", err, len(got))
		}
		got = append(got, buffer[:n]...)
	}
	if len(got) < backlogSize || !strings.HasSuffix(numbers(last-20_000, last), string(got)) {
		t.Errorf("%d bytes that are not the newest output; they start with %q", len(got), got[:min(len(got), 40)])
	}
}

// A reader that is too slow loses output, but never stalls the guest.
func TestSlowReader(t *testing.T) {
	r := open(t, domxml.Chardev{Type: domxml.ChardevPTY})
	c := r.client()
	one := make([]byte, 8)
	for range 20 {
		r.say(numbers(0, 50_000))
		if _, err := io.ReadFull(c, one); err != nil {
			t.Fatal(err)
		}
	}
}

// A guest that takes no input keeps its clients waiting, not us growing.
func TestInputIsBounded(t *testing.T) {
	r := open(t, domxml.Chardev{Type: domxml.ChardevPTY})
	c := r.client()
	if err := c.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	n, err := c.Write(make([]byte, 4<<20))
	if err == nil {
		t.Fatal("the whole input was taken")
	}
	r.say("out") // and output goes on
	expect(t, c, "out")
	expect(t, r.guest, strings.Repeat("\x00", n))
}

func TestListeners(t *testing.T) {
	for _, kind := range []domxml.ChardevType{domxml.ChardevTCP, domxml.ChardevUnix} {
		t.Run(string(kind), func(t *testing.T) {
			dev := domxml.Chardev{Type: kind, Host: "localhost", Service: "0", Path: filepath.Join(t.TempDir(), "socket")}
			r := open(t, dev)
			addresses := r.source.(*listenSource).addresses()
			for _, a := range addresses {
				if tcp, ok := a.(*net.TCPAddr); ok && !tcp.IP.IsLoopback() {
					t.Errorf("listens on %v", a)
				}
			}
			dial := func() net.Conn {
				conn, err := net.Dial(addresses[0].Network(), addresses[0].String())
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { conn.Close() })
				return conn
			}
			r.say("before anybody came\n")
			first := dial()
			expect(t, first, "before anybody came\n")
			second := dial() // waits for its turn
			r.say("to the first\n")
			expect(t, first, "to the first\n")
			fmt.Fprint(first, "from the first\n")
			expect(t, r.guest, "from the first\n")
			fmt.Fprint(second, "from the second\n")
			first.Close()
			expect(t, r.guest, "from the second\n")
			r.say("to the second\n")
			expect(t, second, "to the second\n")
			r.end()
			r.boot()
			r.say("after a restart\n")
			expect(t, second, "after a restart\n")
		})
	}
}

func TestRemoveDeadSocket(t *testing.T) {
	dir := t.TempDir()
	living, dead, file := filepath.Join(dir, "living"), filepath.Join(dir, "dead"), filepath.Join(dir, "file")
	for _, path := range []string{living, dead} {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		l.SetUnlinkOnClose(false)
		if path == living {
			defer l.Close()
			continue
		}
		l.Close()
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{living, dead, file, filepath.Join(dir, "missing")} {
		if err := RemoveDeadSocket(path); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(path); (err == nil) != (path == living || path == file) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestListenErrors(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	path := filepath.Join(t.TempDir(), "socket")
	live, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer live.Close()
	for _, dev := range []domxml.Chardev{
		{Type: domxml.ChardevTCP, Host: "127.0.0.1", Service: port},
		{Type: domxml.ChardevUnix, Path: path},
	} {
		_, err := Open("ssl0", dev, io.Discard, func() {})
		if err == nil || !strings.Contains(err.Error(), "the address is in use") {
			t.Errorf("%s: %v", dev.Type, err)
		}
	}
	// What a dead process left is no obstacle.
	live.(*net.UnixListener).SetUnlinkOnClose(false)
	live.Close()
	open(t, domxml.Chardev{Type: domxml.ChardevUnix, Path: path})
}

func TestFileAndLog(t *testing.T) {
	dir := t.TempDir()
	path, log := filepath.Join(dir, "out"), filepath.Join(dir, "log")
	for i, keep := range []bool{false, true, false} {
		line, err := Open("ssl0", domxml.Chardev{Type: domxml.ChardevFile, Path: path, Append: keep, LogFile: log, LogAppend: keep}, io.Discard, func() {})
		if err != nil {
			t.Fatal(err)
		}
		r := &rig{Line: line, t: t}
		r.boot()
		r.say(fmt.Sprintf("run %d\n", i))
		r.end()
		line.Close()
	}
	for _, name := range []string{path, log} {
		got, err := os.ReadFile(name)
		if err != nil || string(got) != "run 2\n" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		info, err := os.Stat(name)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v", name, info.Mode(), err)
		}
	}
}

func TestStdioAndNull(t *testing.T) {
	r := open(t, domxml.Chardev{Type: domxml.ChardevStdio})
	r.say("into the guest's log\n")
	r.end()
	if got := r.log.String(); got != "into the guest's log\n" {
		t.Errorf("log %q", got)
	}
	n := open(t, domxml.Chardev{Type: domxml.ChardevNull})
	n.say(numbers(0, 100_000) + "reboot: Power down\n")
	n.end()
	if got := string(n.Tail()); !strings.HasSuffix(got, "reboot: Power down\n") || len(got) != tailSize {
		t.Errorf("tail of %d bytes: %q", len(got), got)
	}
}

func TestDevice(t *testing.T) {
	other, err := openPTY("test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(other.stop)
	r := open(t, domxml.Chardev{Type: domxml.ChardevDev, Path: other.path})
	r.say("out")
	expect(t, other.master, "out")
	io.WriteString(other.master, "in")
	expect(t, r.guest, "in")
}

func TestLogRotates(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l, err := OpenLog(path, true)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.max = 100
	for i := range 50 {
		if _, err := fmt.Fprintf(l, "%029d\n", i); err != nil {
			t.Fatal(err)
		}
	}
	// Three lines a file; 50 of them leave two in the newest.
	for name, first := range map[string]int{"": 48, ".0": 45, ".1": 42, ".2": 39} {
		text, err := os.ReadFile(path + name)
		if err != nil || !strings.HasPrefix(string(text), fmt.Sprintf("%029d\n", first)) {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
	if _, err := os.Stat(path + ".3"); !os.IsNotExist(err) {
		t.Errorf("a fourth backup: %v", err)
	}
}

// addresses are where it listens.
func (s *listenSource) addresses() []net.Addr {
	var found []net.Addr
	for _, l := range s.listeners {
		found = append(found, l.Addr())
	}
	return found
}
