package guestinit

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// systemMount is one of the mounts that every program expects.
type systemMount struct {
	kind, target, data string
	flags              uintptr
}

var systemMounts = []systemMount{
	{"proc", "/proc", "", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC},
	{"sysfs", "/sys", "", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC},
	{"devtmpfs", "/dev", "mode=0755", unix.MS_NOSUID},
	{"devpts", "/dev/pts", "mode=0620,ptmxmode=0666,gid=5", unix.MS_NOSUID | unix.MS_NOEXEC},
	{"tmpfs", "/dev/shm", "mode=1777", unix.MS_NOSUID | unix.MS_NODEV},
	{"tmpfs", "/run", "mode=0755", unix.MS_NOSUID | unix.MS_NODEV},
	{"tmpfs", "/tmp", "mode=1777", unix.MS_NOSUID | unix.MS_NODEV},
}

// mountSystem mounts them all. The kernel may have mounted /dev itself.
func mountSystem() error {
	var failed []error
	for _, m := range systemMounts {
		err := mountOne(m.kind, m.target, m.flags, m.data)
		if err != nil && !(m.kind == "devtmpfs" && errors.Is(err, unix.EBUSY)) {
			failed = append(failed, err)
		}
	}
	for link, target := range map[string]string{
		"/dev/fd": "/proc/self/fd", "/dev/stdin": "fd/0", "/dev/stdout": "fd/1", "/dev/stderr": "fd/2",
	} {
		if err := os.Symlink(target, link); err != nil && !errors.Is(err, os.ErrExist) {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

func mountOne(kind, target string, flags uintptr, data string) error {
	if err := os.MkdirAll(target, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(kind, target, kind, flags, data); err != nil {
		return fmt.Errorf("cannot mount %s at %s: %w", kind, target, err)
	}
	return nil
}

// mountShares mounts the host's folders. Their targets come from the host's
// user, who owns the guest: a link in the image may lead them elsewhere in the
// guest, and nowhere else.
func mountShares(mounts []Mount) error {
	for _, m := range mounts {
		var flags uintptr
		if m.ReadOnly {
			flags = unix.MS_RDONLY
		}
		if err := mountOne("hostfs", m.Target, flags, m.Share); err != nil {
			return err
		}
	}
	return nil
}

// quiet keeps the kernel's messages off the console that is now the link's.
// Emergencies still get through: after them there is no link.
func quiet() {
	_ = os.WriteFile("/proc/sys/kernel/printk", []byte("1 4 1 7\n"), 0)
}

// setHostname names the guest, in /etc/hosts too where the image has none.
func setHostname(name string) error {
	if name == "" {
		return nil
	}
	if err := unix.Sethostname([]byte(name)); err != nil {
		return fmt.Errorf("cannot set the host name %q: %w", name, err)
	}
	if info, err := os.Lstat("/etc/hosts"); err == nil && (info.Size() > 0 || !info.Mode().IsRegular()) {
		return nil
	}
	// An image with neither /etc nor room for this works as well.
	_ = os.WriteFile("/etc/hosts", []byte("127.0.0.1 localhost\n::1 localhost\n127.0.1.1 "+name+"\n"), 0o644)
	return nil
}

// loopback brings lo up.
func loopback() {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return // a kernel without networks
	}
	defer unix.Close(fd)
	ifreq, err := unix.NewIfreq("lo")
	if err != nil {
		return
	}
	ifreq.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	_ = unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifreq)
}

// openDisk finds the specification disk: the last ubd that holds one. Without
// one the error is errNotSpec.
func openDisk() (*os.File, Spec, error) {
	for unit := 'p'; unit > 'a'; unit-- {
		file, err := os.OpenFile("/dev/ubd"+string(unit), os.O_RDWR|unix.O_SYNC, 0)
		if err != nil {
			continue
		}
		disk := make([]byte, DiskSize)
		if _, err := file.ReadAt(disk, 0); err == nil {
			spec, err := DecodeSpec(disk)
			if !errors.Is(err, errNotSpec) {
				return file, spec, err
			}
		}
		file.Close()
	}
	return nil, Spec{}, errNotSpec
}

// writeResult makes the result durable: the disk is opened with O_SYNC.
func writeResult(disk *os.File, r Result) error {
	_, err := disk.WriteAt(encodeResult(r), resultOffset)
	return errors.Join(err, disk.Sync())
}

// powerOff ends the guest. The root filesystem is flushed unless it is thrown
// away.
func powerOff(discard bool) {
	if !discard {
		unix.Sync()
		_ = unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_RDONLY, "")
	}
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	select {} // pid 1 must not end
}

// readText reads a small file of the image; one that is missing is empty.
func readText(name string) string {
	data, err := os.ReadFile(name)
	if err != nil {
		return ""
	}
	return strings.ToValidUTF8(string(data), "")
}
