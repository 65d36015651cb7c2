package guests

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"virtumld/internal/testkit"
)

// A guest with systemd boots to its multi-user target, is restarted by "virsh
// reboot" and ended by "virsh shutdown", with its file system clean.
func TestSystemd(t *testing.T) {
	t.Parallel()
	d := testkit.Start(t, testkit.Root)
	disk := filepath.Join(d.Dir, "systemd.img")
	if out, err := exec.Command("cp", "--sparse=always", systemdImage(t), disk).CombinedOutput(); err != nil {
		t.Fatalf("cannot copy the image: %v: %s", err, out)
	}
	d.Owned(disk)
	document := strings.Replace(d.XML(testkit.Guest{Name: "vm", Disk: disk}), "'MiB'>128<", "'MiB'>384<", 1)
	document = strings.Replace(document, "</kernel>", "</kernel><cmdline>quiet systemd.show_status=false</cmdline>", 1)
	d.Define(document)
	events := d.Events()
	d.OK("start", "vm")
	d.DestroyLater("vm")
	console := d.Console("vm")
	boot := func() {
		t.Helper()
		console.Expect(testkit.Prompt)
		shell := d.ShellOn(console)
		if got, _ := shell.Try("systemctl is-system-running --wait"); got != "running" {
			t.Errorf("the system is %q:\n%s", got, shell.Run("systemctl --failed --no-pager"))
		}
		if got := shell.Run("systemctl is-active multi-user.target; cat /proc/1/comm"); got != "active\nsystemd" {
			t.Errorf("the target and init are %q", got)
		}
	}
	boot()
	d.OK("reboot", "vm")
	events.Await("vm", "reboot")
	console.Expect("reboot: Restarting system")
	boot()
	d.OK("shutdown", "vm")
	events.Await("vm", "Stopped Shutdown")
	if got := d.OK("domstate", "vm", "--reason"); got != "shut off (shutdown)" {
		t.Errorf("the state is %q", got)
	}
	clean(t, disk)
}

// systemdImage is the image of testdata/mksystemd.sh, kept from run to run as
// long as neither the script nor the packages change. Only root can make it.
func systemdImage(t *testing.T) string {
	t.Helper()
	script := filepath.Join(testkit.Module(t), "test/guests/testdata/mksystemd.sh")
	packages, err := exec.Command(script, "list").Output()
	if err != nil {
		packages = nil // without lists of packages the script alone decides
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	cache = filepath.Join(cache, "virtumld-test")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		t.Fatal(err)
	}
	key := sha256.Sum256(append([]byte(read(t, script)), packages...))
	image := filepath.Join(cache, fmt.Sprintf("systemd-%x.img", key[:8]))
	// One maker at a time, whatever process it is in.
	var stderr bytes.Buffer
	build := exec.Command("flock", cache, "sh", "-c",
		`[ -e "$2" ] || { rm -f "${2%-*}"-*.img && "$1" build "$2.new" && mv "$2.new" "$2"; }`, "sh", script, image)
	build.Stderr = &stderr
	if err := build.Run(); err != nil {
		if text := stderr.String(); strings.Contains(text, "Failed to fetch") || strings.Contains(text, "Unable to fetch") {
			t.Skipf("the Debian mirror cannot be reached: %s", text)
		}
		t.Fatalf("cannot make the image: %v: %s", err, stderr.String())
	}
	return image
}
