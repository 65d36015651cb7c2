package virtuml

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"virtumld/internal/testkit"
)

// finding is one of virtuml doctor's, as its JSON has it.
type finding struct {
	Check, Level, Text, Mend string
}

// doctor runs virtuml doctor --json.
func doctor(t *testing.T, d *testkit.Daemon, args ...string) (findings map[string]finding, code int) {
	t.Helper()
	r := d.Run(program(), append([]string{"doctor", "--json"}, args...)...)
	var list []finding
	if err := json.Unmarshal([]byte(r.Stdout), &list); err != nil {
		t.Fatalf("%v: %q, %q", err, r.Stdout, r.Stderr)
	}
	findings = map[string]finding{}
	for _, f := range list {
		if f.Level != "ok" && f.Mend == "" || f.Text == "" {
			t.Errorf("%+v says too little", f)
		}
		findings[f.Check] = f
	}
	return findings, r.Code
}

// A host that can run guests is said to be one, and what is broken is named.
func TestDoctor(t *testing.T) {
	testkit.Each(t, func(t *testing.T, d *testkit.Daemon) {
		build(t)
		findings, code := doctor(t, d, "--connect", d.URI)
		for _, check := range []string{"kernel", "ptrace", "memory folder", "daemon", "virsh", "e2fsprogs", "qemu-img"} {
			if f := findings[check]; f.Level != "ok" {
				t.Errorf("%s: %+v", check, f)
			}
		}
		for check, f := range findings {
			if f.Level == "fatal" {
				t.Errorf("%s: %+v", check, f)
			}
		}
		if len(findings) != 10 || code != 0 {
			t.Errorf("%d findings, exit status %d", len(findings), code)
		}
		if f := findings["kernel"]; !strings.Contains(f.Text, testkit.Kernel(t)) {
			t.Errorf("%+v does not name the kernel", f)
		}

		// For people the same words.
		r := d.Run(program(), "doctor", "--connect", d.URI)
		if r.Code != 0 || !strings.Contains(r.Stdout, findings["daemon"].Text) {
			t.Errorf("%d, %q", r.Code, r.Stdout)
		}

		// Without a daemon.
		findings, code = doctor(t, d, "--connect", "uml+unix:///session?socket="+filepath.Join(d.Dir, "none"))
		if f := findings["daemon"]; f.Level != "fatal" || !strings.Contains(f.Mend, "systemctl") || code != 1 {
			t.Errorf("no daemon: %+v, %d", f, code)
		}

		// With a kernel that is none, and without programs.
		empty := filepath.Join(d.Dir, "empty")
		if err := os.Mkdir(empty, 0o755); err != nil {
			t.Fatal(err)
		}
		broken := filepath.Join(empty, "linux.uml")
		if err := os.WriteFile(broken, []byte("#!/bin/sh\nexit 3\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		d.SetEnv("PATH", empty)
		findings, code = doctor(t, d, "--connect", d.URI)
		for check, want := range map[string]string{"virsh": "libvirt-clients", "qemu-img": "qemu-utils"} {
			if f := findings[check]; f.Level != "warning" || !strings.Contains(f.Mend, want) {
				t.Errorf("%s: %+v", check, f)
			}
		}
		if f := findings["kernel"]; f.Level != "fatal" || !strings.Contains(f.Text, broken) || !strings.Contains(f.Mend, "user-mode-linux") || code != 1 {
			t.Errorf("no kernel: %+v, %d", f, code)
		}
	})
}
