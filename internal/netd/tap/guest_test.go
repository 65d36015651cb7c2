package tap

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"virtumld/internal/testkit"
)

// patience is how long a guest with all its tests may take.
const patience = 10 * time.Minute

// inGuest says that this is process 1 of a guest.
var inGuest = os.Getpid() == 1

// TestMain runs the tests, or is what a test has started this binary as: the
// first process of a guest, an unprivileged or doomed process in it, or
// QEMU's bridge helper.
func TestMain(m *testing.M) {
	switch {
	case filepath.Base(os.Args[0]) == helperName:
		os.Exit(helperMain())
	case os.Getenv(roleEnv) != "":
		os.Exit(roleMain(os.Getenv(roleEnv)))
	case inGuest:
		guestMain(m)
	default:
		os.Exit(m.Run())
	}
}

const passed = "every test in the guest has passed"

// guestMain runs the tests in a guest and powers it off.
func guestMain(m *testing.M) {
	if err := prepareGuest(); err != nil {
		fmt.Println("the guest cannot be prepared:", err)
	} else if m.Run() == 0 {
		fmt.Println(passed)
	}
	fmt.Println(unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF))
}

// prepareGuest mounts what is needed, and loads the drivers that are not built
// into the kernel.
func prepareGuest() error {
	for path, kind := range map[string]string{"/proc": "proc", "/sys": "sysfs", "/dev": "devtmpfs", "/run": "tmpfs"} {
		if err := unix.Mount("none", path, kind, 0, ""); err != nil && !errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	if err := os.Setenv("TMPDIR", "/run"); err != nil {
		return err
	}
	var uname unix.Utsname
	if err := unix.Uname(&uname); err != nil {
		return err
	}
	modules := filepath.Join("/usr/lib/uml/modules", unix.ByteSliceToString(uname.Release[:]))
	for _, driver := range []string{"dummy", "tun", "bridge", "macvtap"} {
		if err := loadDriver(modules, driver); err != nil {
			return fmt.Errorf("%s: %w", driver, err)
		}
	}
	// As udev does everywhere.
	return os.Chmod(tunDevice, 0o666)
}

// loadDriver loads a driver and what it needs (modules.dep(5)). One that is
// not in the folder is built in, or a test will miss it.
func loadDriver(folder, name string) error {
	text, err := os.ReadFile(filepath.Join(folder, "modules.dep"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for line := range strings.Lines(string(text)) {
		path, needs, _ := strings.Cut(line, ":")
		if filepath.Base(path) != name+".ko" {
			continue
		}
		all := append([]string{path}, strings.Fields(needs)...)
		for _, module := range slices.Backward(all) {
			if err := loadModule(filepath.Join(folder, module)); err != nil {
				return fmt.Errorf("%s: %w", module, err)
			}
		}
	}
	return nil
}

func loadModule(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := unix.FinitModule(int(file.Fd()), "", 0); !errors.Is(err, unix.EEXIST) {
		return err
	}
	return nil
}

// TestDevices runs every test of devices in a guest: there the tests are root,
// every driver is there, and nothing of the host is touched.
func TestDevices(t *testing.T) {
	if !inGuest {
		bootTests(t)
		return
	}
	for _, test := range deviceTests {
		t.Run(test.name, test.run)
	}
}

// bootTests boots a guest whose root is the host's, read-only, and whose init
// is this package's tests.
func bootTests(t *testing.T) {
	dir := t.TempDir()
	binary := filepath.Join(dir, "tap.test")
	// The race detector does not run in a guest.
	build := exec.Command("go", "test", "-c", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	kernel := exec.CommandContext(ctx, testkit.Kernel(t),
		"mem=256M", "root=none", "rootfstype=hostfs", "rootflags=/", "ro", "init="+binary, "quiet", "panic=-1",
		"con0=null,fd:1", "con=null", "ssl=null", "umid=tap", "uml_dir="+dir, "--", "-test.run=^TestDevices$", "-test.v")
	kernel.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	kernel.Cancel = func() error { return syscall.Kill(-kernel.Process.Pid, syscall.SIGKILL) }
	kernel.WaitDelay = patience
	out, err := kernel.CombinedOutput()
	if err != nil || !strings.Contains(string(out), passed) {
		t.Fatalf("the tests in the guest have failed: %v\n%s", err, out)
	}
}
