package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

func ok(format string, args ...any) Finding {
	return Finding{Level: OK, Text: fmt.Sprintf(format, args...)}
}

func checkKernel(_ context.Context, h *Host) Finding {
	if h.kernelErr != nil {
		return Finding{Level: Fatal, Text: h.kernelErr.Error(),
			Mend: "install a User Mode Linux kernel: apt install user-mode-linux on Debian; another one is named in a domain's <kernel>"}
	}
	k := h.kernel
	if !k.UBD || !k.Mconsole {
		return Finding{Level: Fatal, Text: fmt.Sprintf("%s lacks CONFIG_BLK_DEV_UBD or CONFIG_MCONSOLE", k.Path),
			Mend: "build it with both, or install a distribution's kernel"}
	}
	if !k.Hostfs {
		return Finding{Level: Warning, Text: fmt.Sprintf("%s lacks CONFIG_HOSTFS", k.Path),
			Mend: "build it with that to share folders (virtuml run -v)"}
	}
	return ok("%s, Linux %s", k.Path, k.Release)
}

// checkProcessor warns of a processor whose state old kernels cannot save: its
// floating point registers have more bytes than they make room for.
func checkProcessor(_ context.Context, h *Host) Finding {
	text, err := h.ReadFile("/proc/cpuinfo")
	if err != nil || h.kernelErr != nil || !slices.Contains(strings.Fields(text), "amx_tile") {
		return ok("nothing is known against this processor")
	}
	if v := h.kernel.Version; v.Major > 6 || v.Major == 6 && v.Minor >= 13 {
		return ok("has AMX, which Linux %s can deal with", h.kernel.Release)
	}
	return Finding{Level: Warning, Text: fmt.Sprintf("has AMX, with which Linux %s may crash as a User Mode Linux kernel", h.kernel.Release),
		Mend: "when guests crash early, use a kernel of 6.13 or newer"}
}

// checkPtrace looks at Yama: a kernel traces its own children, which all modes
// but 3 allow.
func checkPtrace(_ context.Context, h *Host) Finding {
	const name = "/proc/sys/kernel/yama/ptrace_scope"
	text, err := h.ReadFile(name)
	if err != nil || strings.TrimSpace(text) != "3" {
		return ok("processes may trace their children")
	}
	return Finding{Level: Fatal, Text: name + " is 3: no process may trace another, which User Mode Linux lives by",
		Mend: "set kernel.yama.ptrace_scope = 1 in /etc/sysctl.d and boot the host anew, for a 3 stays until then"}
}

// namespaceSwitches are the settings that forbid ordinary users namespaces.
var namespaceSwitches = []struct{ file, off, setting string }{
	{"/proc/sys/user/max_user_namespaces", "0", "user.max_user_namespaces=10000"},
	{"/proc/sys/kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"},
	{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1", "kernel.apparmor_restrict_unprivileged_userns=0"},
}

func checkNamespaces(_ context.Context, h *Host) Finding {
	err := h.Namespaces()
	if err == nil {
		return ok("guests get namespaces of their own")
	}
	f := Finding{Level: Warning, Text: fmt.Sprintf("guests run without namespaces of their own (%v): one that breaks out of its kernel can do what its user can do", err),
		Mend: "in a container: start it with more rights, such as --security-opt seccomp=unconfined"}
	for _, s := range namespaceSwitches {
		if text, err := h.ReadFile(s.file); err == nil && strings.TrimSpace(text) == s.off {
			f.Mend = "sysctl -w " + s.setting + ", and the same in /etc/sysctl.d for the next boot"
		}
	}
	return f
}

// minShm is what the memory of one small guest needs, in bytes.
const minShm = 256 << 20

// checkShm looks for where a guest's memory can be. In namespaces of its own a
// guest brings its own place.
func checkShm(_ context.Context, h *Host) Finding {
	if h.Namespaces() == nil {
		return ok("guests bring their own")
	}
	for _, dir := range []string{"/dev/shm", "/tmp", "/var/tmp"} {
		m, err := h.Statfs(dir)
		if err != nil || m.NoExec {
			continue
		}
		if m.Free < minShm {
			return Finding{Level: Warning, Text: fmt.Sprintf("%s has %d MiB free: a guest with more memory crashes when it uses it", dir, m.Free>>20),
				Mend: fmt.Sprintf("mount -o remount,size=2G %s; for a container --shm-size=2g", dir)}
		}
		return ok("%s, with %d MiB free", dir, m.Free>>20)
	}
	return Finding{Level: Fatal, Text: "/dev/shm, /tmp and /var/tmp are all mounted noexec, and a guest's memory is executed",
		Mend: "mount -o remount,exec /dev/shm; for a container --tmpfs /dev/shm:rw,exec"}
}

func checkTun(_ context.Context, h *Host) Finding {
	err := h.Access("/dev/net/tun")
	switch {
	case err == nil:
		return ok("/dev/net/tun is there")
	case errors.Is(err, fs.ErrNotExist):
		return Finding{Level: Warning, Text: "/dev/net/tun is missing: guests can have no tap devices", Mend: "modprobe tun; for a container --device /dev/net/tun"}
	default:
		return Finding{Level: Warning, Text: fmt.Sprintf("/dev/net/tun cannot be used: %v", err), Mend: "chmod 666 /dev/net/tun"}
	}
}

func checkDaemon(ctx context.Context, h *Host) Finding {
	version, err := h.Daemon(ctx)
	if err != nil {
		return Finding{Level: Fatal, Text: fmt.Sprintf("virtumld does not answer: %v", err),
			Mend: "systemctl enable --now virtumld.socket as root, or systemctl --user enable --now virtumld.socket; without systemd start virtumld"}
	}
	return ok("virtumld answers and speaks for libvirt %s", version)
}

func checkVirsh(_ context.Context, h *Host) Finding {
	return program(h, "virsh", "guests cannot be managed from the command line", "apt install libvirt-clients")
}

func checkE2fsprogs(_ context.Context, h *Host) Finding {
	return program(h, "e2fsck", "the file systems of disks cannot be checked and enlarged", "apt install e2fsprogs")
}

func checkQemuImg(_ context.Context, h *Host) Finding {
	return program(h, "qemu-img", "qcow2 images cannot be imported", "apt install qemu-utils")
}

// program checks for one that is good to have.
func program(h *Host, name, without, mend string) Finding {
	path, err := h.LookPath(name)
	if err != nil {
		return Finding{Level: Warning, Text: "is not installed: " + without, Mend: mend}
	}
	return ok("%s", path)
}
