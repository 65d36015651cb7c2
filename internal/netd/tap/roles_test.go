package tap

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const (
	helperName = "qemu-bridge-helper"
	roleEnv    = "VIRTUMLD_TAP_TEST_ROLE"
	userID     = 1000
)

// helperMain does what QEMU's bridge helper does.
func helperMain() int {
	bridge := strings.TrimPrefix(os.Args[1], "--br=")
	if os.Args[2] != "--fd=3" || bridge == "forbidden" {
		fmt.Fprintln(os.Stderr, "access denied by acl file")
		return 1
	}
	fd, name, err := makeTap("tap%d")
	if err == nil {
		err = setUp(name, nil, Config{Bridge: bridge})
	}
	if err == nil && bridge != "silent" {
		err = unix.Sendmsg(3, []byte{0}, unix.UnixRights(fd), nil, 0)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// roles are what another process does in a test; it ends when its standard
// input does.
var roles = map[string]func(){
	"make":    func() { open1(Config{}) },
	"bridge":  func() { open1(Config{Bridge: "br0"}) },
	"kept":    func() { open1(Config{Name: "mine", Keep: true}) },
	"other":   func() { open1(Config{Name: "other", Keep: true}) },
	"missing": func() { open1(Config{Name: "missing", Keep: true}) },
	"doomed": func() {
		open1(Config{Name: "doomed0"})
		open1(Config{Direct: "dummy0", Mode: "bridge", Name: "doomed1", MAC: "52:54:00:00:00:0d"})
	},
}

// open1 opens a device and tells how that went on one line.
func open1(cfg Config) {
	_, name, err := Open(cfg)
	if err != nil {
		fmt.Println("error:", err)
		return
	}
	fmt.Println("opened", name)
}

func roleMain(role string) int {
	roles[role]()
	// Whoever wants this process to go on holds the other end.
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	return 0
}

// other is another process.
type other struct {
	*exec.Cmd
	lines *bufio.Scanner
}

// run starts this binary in a role, as the user uid, and ends it with the test.
func run(t *testing.T, role string, uid uint32) *other {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), roleEnv+"="+role)
	cmd.Stderr = os.Stderr
	if uid != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		_ = cmd.Wait() // a test may have killed it
	})
	return &other{Cmd: cmd, lines: bufio.NewScanner(stdout)}
}

// line is the next line that the process says.
func (o *other) line(t *testing.T) string {
	t.Helper()
	if !o.lines.Scan() {
		t.Fatalf("the process says nothing more: %v", o.lines.Err())
	}
	return o.lines.Text()
}
