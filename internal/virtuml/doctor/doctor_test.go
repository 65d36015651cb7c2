package doctor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"virtumld/internal/uml/kernel"
)

// sound is a host on which nothing is wrong, with these files.
func sound(files map[string]string) *Host {
	return &Host{
		ReadFile: func(path string) (string, error) {
			if text, there := files[path]; there {
				return text, nil
			}
			return "", fs.ErrNotExist
		},
		Access:     func(string) error { return nil },
		Statfs:     func(string) (Mount, error) { return Mount{Free: 1 << 30}, nil },
		LookPath:   func(name string) (string, error) { return "/usr/bin/" + name, nil },
		Namespaces: func() error { return nil },
		Kernel: func(context.Context) (*kernel.Caps, error) {
			return &kernel.Caps{Path: "/usr/bin/linux.uml", Release: "6.1.176", Version: kernel.Version{Major: 6, Minor: 1}, UBD: true, Mconsole: true, Hostfs: true}, nil
		},
		Daemon: func(context.Context) (string, error) { return "9.0.0", nil },
	}
}

func TestSoundHost(t *testing.T) {
	h := sound(map[string]string{"/proc/sys/kernel/yama/ptrace_scope": "1\n", "/proc/cpuinfo": "flags : fpu\n"})
	findings := Examine(t.Context(), h)
	for _, f := range findings {
		if f.Level != OK || f.Text == "" || f.Mend != "" {
			t.Errorf("%+v", f)
		}
	}
	if err := verdict(findings); err != nil {
		t.Error(err)
	}
}

func TestBrokenHosts(t *testing.T) {
	broken := errors.New("operation not permitted")
	noNamespaces := func(h *Host) { h.Namespaces = func() error { return broken } }
	newer := func(h *Host) {
		h.Kernel = func(context.Context) (*kernel.Caps, error) {
			return &kernel.Caps{Release: "6.13.0", Version: kernel.Version{Major: 6, Minor: 13}, UBD: true, Mconsole: true}, nil
		}
	}
	for _, test := range []struct {
		name   string
		files  map[string]string
		damage func(*Host)
		check  string
		level  Level
		says   string // in Text or Mend
	}{
		{"no kernel", nil, func(h *Host) {
			h.Kernel = func(context.Context) (*kernel.Caps, error) { return nil, errors.New("no linux.uml") }
		}, "kernel", Fatal, "user-mode-linux"},
		{"a kernel without disks", nil, func(h *Host) {
			h.Kernel = func(context.Context) (*kernel.Caps, error) { return &kernel.Caps{Mconsole: true}, nil }
		}, "kernel", Fatal, "CONFIG_BLK_DEV_UBD"},
		{"a kernel without shares", nil, newer, "kernel", Warning, "CONFIG_HOSTFS"},
		{"AMX", map[string]string{"/proc/cpuinfo": "flags\t: fpu amx_tile\n"}, nil, "processor", Warning, "6.13"},
		{"AMX, newer kernel", map[string]string{"/proc/cpuinfo": "flags\t: fpu amx_tile\n"}, newer, "processor", OK, "6.13.0"},
		{"no tracing", map[string]string{"/proc/sys/kernel/yama/ptrace_scope": "3\n"}, nil, "ptrace", Fatal, "ptrace_scope = 1"},
		{"tracing of children", map[string]string{"/proc/sys/kernel/yama/ptrace_scope": "2\n"}, nil, "ptrace", OK, ""},
		{"no namespaces", nil, noNamespaces, "namespaces", Warning, "not permitted"},
		{"none allowed", map[string]string{"/proc/sys/user/max_user_namespaces": "0\n"}, noNamespaces, "namespaces", Warning, "max_user_namespaces=10000"},
		{"Debian's switch", map[string]string{"/proc/sys/kernel/unprivileged_userns_clone": "0\n"}, noNamespaces, "namespaces", Warning, "unprivileged_userns_clone=1"},
		{"Ubuntu's switch", map[string]string{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1\n"}, noNamespaces, "namespaces", Warning, "apparmor_restrict_unprivileged_userns=0"},
		{"all noexec", nil, func(h *Host) {
			noNamespaces(h)
			h.Statfs = func(string) (Mount, error) { return Mount{NoExec: true, Free: 1 << 30}, nil }
		}, "memory folder", Fatal, "remount,exec"},
		{"shm noexec", nil, func(h *Host) {
			noNamespaces(h)
			h.Statfs = func(dir string) (Mount, error) { return Mount{NoExec: dir == "/dev/shm", Free: 1 << 30}, nil }
		}, "memory folder", OK, "/tmp"},
		{"shm small", nil, func(h *Host) {
			noNamespaces(h)
			h.Statfs = func(string) (Mount, error) { return Mount{Free: 64 << 20}, nil }
		}, "memory folder", Warning, "64 MiB"},
		{"noexec, but namespaces", nil, func(h *Host) {
			h.Statfs = func(string) (Mount, error) { return Mount{NoExec: true}, nil }
		}, "memory folder", OK, ""},
		{"no tun", nil, func(h *Host) { h.Access = func(string) error { return fs.ErrNotExist } }, "tun", Warning, "modprobe tun"},
		{"tun forbidden", nil, func(h *Host) { h.Access = func(string) error { return fs.ErrPermission } }, "tun", Warning, "chmod"},
		{"no daemon", nil, func(h *Host) {
			h.Daemon = func(context.Context) (string, error) { return "", errors.New("connection refused") }
		}, "daemon", Fatal, "virtumld.socket"},
		{"no programs", nil, func(h *Host) { h.LookPath = func(string) (string, error) { return "", fs.ErrNotExist } }, "virsh", Warning, "libvirt-clients"},
		{"no qemu-img", nil, func(h *Host) { h.LookPath = func(string) (string, error) { return "", fs.ErrNotExist } }, "qemu-img", Warning, "qemu-utils"},
		{"no e2fsprogs", nil, func(h *Host) { h.LookPath = func(string) (string, error) { return "", fs.ErrNotExist } }, "e2fsprogs", Warning, "e2fsprogs"},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := sound(test.files)
			if test.damage != nil {
				test.damage(h)
			}
			findings := Examine(t.Context(), h)
			for _, f := range findings {
				if f.Check == test.check && (f.Level != test.level || !strings.Contains(f.Text+f.Mend, test.says) || (f.Mend == "") != (f.Level == OK)) {
					t.Errorf("%+v, want %s with %q", f, test.level, test.says)
				}
			}
			if err := verdict(findings); (err != nil) != (test.level == Fatal) {
				t.Errorf("the verdict is %v", err)
			}
		})
	}
}

func TestShow(t *testing.T) {
	findings := []Finding{{"kernel", OK, "is there", ""}, {"tun", Warning, "is missing", "modprobe tun"}}
	var text, document bytes.Buffer
	if err := errors.Join(show(&text, findings, false), show(&document, findings, true)); err != nil {
		t.Fatal(err)
	}
	if want := "ok       kernel         is there\nwarning  tun            is missing\n                        to mend it: modprobe tun\n"; text.String() != want {
		t.Errorf("shown as\n%s", text.String())
	}
	var got []Finding
	if err := json.Unmarshal(document.Bytes(), &got); err != nil || len(got) != 2 || got[1] != findings[1] {
		t.Errorf("%s: %v", document.String(), err)
	}
}
