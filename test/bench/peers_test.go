package bench

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"virtumld/internal/testkit"
)

// streamProgram builds the program that measures, without C so that it runs in
// every guest.
func streamProgram(b *testing.B) string {
	b.Helper()
	dir, err := os.MkdirTemp("/tmp", "stream") // guests of another user read it
	must(b, err)
	b.Cleanup(func() { os.RemoveAll(dir) })
	must(b, os.Chmod(dir, 0o755))
	path := filepath.Join(dir, "stream")
	cmd := exec.Command("go", "build", "-buildvcs=false", "-ldflags=-s -w", "-o", path, "./stream")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		b.Fatalf("go build: %v\n%s", err, out)
	}
	must(b, os.Chmod(path, 0o755))
	return path
}

// background runs a command until the benchmark ends.
func background(b *testing.B, cmd *exec.Cmd) {
	b.Helper()
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setsid = true
	must(b, cmd.Start())
	b.Cleanup(func() {
		must(b, unix.Kill(-cmd.Process.Pid, unix.SIGKILL))
		_ = cmd.Wait() // killed
	})
}

// serveStreams serves on all addresses of the host, and returns the port.
func serveStreams(b *testing.B, program string) string {
	b.Helper()
	cmd := exec.Command(program, "serve", ":0")
	out, err := cmd.StdoutPipe()
	must(b, err)
	cmd.Stderr = os.Stderr
	background(b, cmd)
	line, err := bufio.NewReader(out).ReadString('\n')
	must(b, err)
	_, port, err := net.SplitHostPort(strings.TrimSpace(line))
	must(b, err)
	return port
}

// rate is what the program says.
func rate(b *testing.B, said string) float64 {
	b.Helper()
	bytes, err := strconv.ParseFloat(strings.TrimSpace(said), 64)
	must(b, err)
	return bytes
}

// hostAddress is an IPv4 address of the host beside its loopback's.
func hostAddress(b *testing.B) string {
	b.Helper()
	addresses, err := net.InterfaceAddrs()
	must(b, err)
	for _, address := range addresses {
		if network, ok := address.(*net.IPNet); ok && network.IP.To4() != nil && network.IP.IsGlobalUnicast() {
			return network.IP.String()
		}
	}
	b.Fatal("the host has no IPv4 address but its loopback's")
	return ""
}

// namespace is a network namespace that slirp4netns joins to the host.
type namespace struct{ pid int }

func slirp(b *testing.B, mtu int) namespace {
	b.Helper()
	holder := exec.Command("sleep", "infinity")
	holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if os.Geteuid() != 0 {
		holder.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		holder.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
		holder.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	background(b, holder)
	ready, w, err := os.Pipe()
	must(b, err)
	defer ready.Close()
	cmd := exec.Command("slirp4netns", "--configure", fmt.Sprint("--mtu=", mtu), "--ready-fd=3", fmt.Sprint(holder.Process.Pid), "tap0")
	cmd.ExtraFiles = []*os.File{w}
	var said bytes.Buffer
	cmd.Stderr = &said
	background(b, cmd)
	w.Close()
	if _, err := ready.Read(make([]byte, 1)); err != nil {
		b.Fatalf("slirp4netns has not become ready: %v\n%s", err, &said)
	}
	return namespace{holder.Process.Pid}
}

// run runs a command in the namespace.
func (n namespace) run(b *testing.B, args ...string) string {
	b.Helper()
	enter := []string{"--net", fmt.Sprint("--target=", n.pid)}
	if os.Geteuid() != 0 {
		enter = append(enter, "--user", "--preserve-credentials")
	}
	cmd := exec.Command("nsenter", append(enter, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		b.Fatalf("%v: %v", cmd, err)
	}
	return string(out)
}

// tap makes a tap of the host's with an address.
func tap(b *testing.B, address string) string {
	b.Helper()
	name := fmt.Sprint("umlbench", os.Getpid()%10000)
	program(b, "ip", "tuntap", "add", "dev", name, "mode", "tap")
	b.Cleanup(func() { program(b, "ip", "link", "del", name) })
	program(b, "ip", "addr", "add", address, "dev", name)
	program(b, "ip", "link", "set", name, "up")
	return name
}

// handGuest runs a kernel by hand, with a copy of the tests' root filesystem,
// the program on its second disk as guests of virtumld have it, and args. It
// returns the shell on its console.
func handGuest(b *testing.B, d *testkit.Daemon, name, stream string, args ...string) *testkit.Shell {
	b.Helper()
	own := filepath.Join(d.Dir, name)
	must(b, os.Mkdir(own, 0o700))
	line, console := socketLine(b, d, filepath.Join(own, "console"))
	defer console.Close()
	// virtumld turns address randomisation off, which spares the kernel work.
	cmd := exec.Command("setarch", append([]string{"-R", testkit.Kernel(b), "mem=128M", "ubd0=" + d.Rootfs(name+".img"), "ubd1r=" + stream,
		"root=/dev/ubda", "rw", "quiet", "con=null", "ssl=null", "con0=fd:3", "console=tty0", "uml_dir=" + own + "/", "umid=hand"}, args...)...)
	cmd.Env = []string{"HOME=/", "TMPDIR=/dev/shm"}
	cmd.ExtraFiles = []*os.File{console} // con0=fd:3
	background(b, cmd)
	shell := d.ShellOn(line)
	shell.Expect(testkit.Prompt)
	takeProgram(shell)
	return shell
}

// socketLine is a line over a socket: for a console on a terminal the kernel
// has a helper that outlives it.
func socketLine(b *testing.B, d *testkit.Daemon, path string) (*testkit.Line, *os.File) {
	b.Helper()
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	must(b, err)
	defer listener.Close()
	line := d.Dial("unix", path)
	conn, err := listener.AcceptUnix()
	must(b, err)
	defer conn.Close()
	far, err := conn.File()
	must(b, err)
	return line, far
}

// ourGuest runs a guest of virtumld's with the program on its second disk.
func ourGuest(b *testing.B, d *testkit.Daemon, name, stream, nic string) *testkit.Shell {
	b.Helper()
	d.Boot(testkit.Guest{Name: name, Devices: fmt.Sprintf(
		`<disk type='file' device='disk'><source file='%s'/><target dev='ubd1' bus='uml'/><readonly/></disk>%s`, stream, nic)})
	shell := d.Shell(name)
	takeProgram(shell)
	return shell
}

// takeProgram gets the program from the second disk.
func takeProgram(shell *testkit.Shell) {
	shell.Run("cat /dev/ubdb >/tmp/stream && chmod +x /tmp/stream")
}
