package supervisor_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"virtumld/internal/domxml"
	"virtumld/internal/supervisor"
)

// bothWays runs test with the guest in namespaces and without.
func bothWays(t *testing.T, test func(t *testing.T, contain bool)) {
	for _, contain := range []bool{true, false} {
		t.Run(fmt.Sprintf("contain=%v", contain), func(t *testing.T) {
			t.Parallel()
			test(t, contain)
		})
	}
}

// The guest's root may read, through hostfs, whatever its kernel's process
// may. It must find nothing of the host there.
func TestHostfsShowsNoHostFile(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, contain bool) {
		spec := newSpec(t, `
mount -t hostfs none /mnt -o / && ls -a /mnt
for f in /mnt/etc/passwd /mnt/../etc/passwd /mnt/usr /mnt/home /mnt/root /mnt/tmp /mnt/var; do ls -d $f 2>/dev/null && echo LEAK $f; done
echo LOOKED; read x`)
		spec.Contain = contain
		g := start(t, spec)
		c := g.console()
		if listing := c.collect("LOOKED"); strings.Contains(listing, "LEAK") {
			t.Errorf("the guest sees the host:\n%s", listing)
		}
	})
}

// Without the kernel option that confines hostfs, the namespace alone shows
// the guest's own files and no other.
func TestRootHoldsOnlyTheGuestsFiles(t *testing.T) {
	t.Parallel()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("host"), 0o644); err != nil {
		t.Fatal(err)
	}
	spec := newSpec(t, `
mount -t hostfs none /mnt -o /
echo TOP $(ls /mnt)
find /mnt -path /mnt/proc -prune -o -type f -print | while read f; do echo "FILE $f"; done
cat /mnt`+secret+` && echo LEAK secret
cat /mnt/proc/1/root/etc/passwd /mnt/proc/1/root`+secret+` && echo LEAK by proc
echo x > /mnt/new && echo LEAK writable root
echo PIDS $(ls /mnt/proc | grep '^[0-9]*$')
echo NET $(cat /mnt/proc/1/net/dev | wc -l)
echo LOOKED; read x`)
	spec.Args = deleteArg(spec.Args, "hostfs=")
	g := start(t, spec)
	out := g.console().collect("LOOKED")
	if strings.Contains(out, "LEAK") || !strings.Contains(out, "TOP ") {
		t.Errorf("the guest sees the host:\n%s", out)
	}
	allowed := map[string]bool{
		"/mnt" + spec.Kernel: true, "/mnt/initrd": true,
		"/mnt/uml/demo/pid": true,
	}
	for _, library := range spec.Libraries {
		allowed["/mnt"+library] = true
	}
	for line := range strings.Lines(out) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "FILE "); ok && !allowed[path] {
			t.Errorf("the guest sees %s", path)
		}
	}
}

func deleteArg(args []string, prefix string) []string {
	var kept []string
	for _, arg := range args {
		if !strings.HasPrefix(arg, prefix) {
			kept = append(kept, arg)
		}
	}
	return kept
}

// What the kernel's process is on the host: no capability, no new privileges,
// no descriptor but its own.
func TestKernelHasNoPrivileges(t *testing.T) {
	t.Parallel()
	// A descriptor that the daemon forgot to mark must not reach a guest.
	leak := filepath.Join(t.TempDir(), "leak")
	fd, err := syscall.Open(leak, syscall.O_CREAT|syscall.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	g := start(t, newSpec(t, rebooter))
	g.await(supervisor.Ready)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.Facts().GuestPID))
	g.must(err)
	for _, want := range []string{
		"CapInh:\t0000000000000000", "CapPrm:\t0000000000000000", "CapEff:\t0000000000000000",
		"CapBnd:\t0000000000000000", "CapAmb:\t0000000000000000", "NoNewPrivs:\t1",
	} {
		if !strings.Contains(string(status), want) {
			t.Errorf("no %q in:\n%s", want, status)
		}
	}
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", g.Facts().GuestPID))
	g.must(err)
	for _, fd := range fds {
		target, err := os.Readlink(fd)
		if err == nil && (strings.HasPrefix(target, g.spec.Dir) || target == leak || strings.Contains(target, "ptmx") || strings.Contains(target, "/dev/pts/")) {
			t.Errorf("the kernel holds %s", target)
		}
	}
	personality, err := os.ReadFile(fmt.Sprintf("/proc/%d/personality", g.Facts().GuestPID))
	g.must(err)
	if !strings.Contains(string(personality), "00040000") {
		t.Errorf("personality %s", personality)
	}
}

// Every end leaves nothing behind, with a pid namespace and without.
func TestNothingIsLeft(t *testing.T) {
	t.Parallel()
	const busy = `yes > /dev/null & yes > /dev/null & echo GUEST UP; read x; echo c > /proc/sysrq-trigger`
	ends := map[string]func(g *guest, c *consoleReader){
		"kill":  func(g *guest, c *consoleReader) { g.must(g.Kill(g.ctx())); g.awaitExit("destroyed") },
		"term":  func(g *guest, c *consoleReader) { g.must(g.Terminate(g.ctx())); g.awaitExit("destroyed") },
		"panic": func(g *guest, c *consoleReader) { c.say("\n"); g.await(supervisor.Panicked); g.awaitExit("crashed") },
		"outside": func(g *guest, c *consoleReader) {
			g.must(syscall.Kill(g.Facts().GuestPID, syscall.SIGKILL))
			g.awaitExit("failed")
		},
		"supervisor": func(g *guest, c *consoleReader) {
			g.must(syscall.Kill(g.Facts().SupervisorPID, syscall.SIGKILL))
			g.awaitExit("failed")
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			bothWays(t, func(t *testing.T, contain bool) {
				spec := newSpec(t, busy)
				spec.Contain = contain
				g := start(t, spec)
				c := g.console()
				g.await(supervisor.Ready)
				c.until("GUEST UP")
				if len(processesOf(t, spec.Dir)) < 4 {
					t.Errorf("the test sees too few processes: %v", processesOf(t, spec.Dir))
				}
				end(g, c)
				g.gone()
			})
		})
	}
}

// A link that a guest has made in its uml_dir leads nobody out of its root, not
// at its next boot either.
func TestRootIsNotLeft(t *testing.T) {
	t.Parallel()
	outside, file := t.TempDir(), filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	spec := newSpec(t, rebooter)
	spec.Files = append(spec.Files, supervisor.File{Host: file, Guest: "/uml/folder/file", ReadOnly: true})
	g := start(t, spec)
	g.await(supervisor.Ready)
	folder := filepath.Join(spec.Dir, "uml", "folder")
	g.must(os.RemoveAll(folder))
	g.must(os.Symlink(outside, folder))
	if err := g.Reset(g.ctx()); err == nil {
		t.Error("the guest was started with a mount point outside of its root")
	}
	g.awaitExit("failed")
	if left, err := os.ReadDir(outside); err != nil || len(left) > 0 {
		t.Errorf("outside there is %v, %v", left, err)
	}
}

// A host that offers no namespaces gets a warning in the log, not a failure.
func TestNamespacesRefused(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can take a capability from itself")
	}
	if os.Getenv(refusedVariable) == "" {
		rerun(t, nil, []string{refusedVariable + "=1"}, "setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin")
		return
	}
	g := start(t, newSpec(t, `echo GUEST UP; read x; poweroff -f`))
	if g.Facts().Contained {
		t.Fatal("the guest has namespaces")
	}
	c := g.console()
	g.await(supervisor.Ready)
	c.until("GUEST UP")
	c.say("\n")
	g.awaitExit("shutdown")
	log, err := os.ReadFile(g.spec.LogFile)
	g.must(err)
	if !strings.Contains(string(log), "WARNING: the guest runs without namespaces") {
		t.Errorf("no warning in the log:\n%s", log)
	}
	g.gone()
}

const refusedVariable = "TEST_NAMESPACES_REFUSED"

// rerun runs this test alone in another process of the test binary.
func rerun(t *testing.T, credential *syscall.Credential, env []string, wrapper ...string) {
	t.Helper()
	rerunAll(t, credential, env, "^"+t.Name()+"$", wrapper...)
}

func rerunAll(t *testing.T, credential *syscall.Credential, env []string, pattern string, wrapper ...string) {
	t.Helper()
	// Another user cannot reach the binary where the go tool puts it.
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	binary, temp := filepath.Join(dir, "test"), filepath.Join(dir, "tmp")
	// Written from here, a child that another test makes meanwhile would hold
	// it open for writing, and nobody could execute it (ETXTBSY).
	self := fmt.Sprintf("/proc/%d/exe", os.Getpid())
	if out, err := exec.Command("cp", self, binary).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.Chmod(binary, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(temp, 0o755); err != nil {
		t.Fatal(err)
	}
	if credential != nil {
		if err := os.Chown(temp, int(credential.Uid), int(credential.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	args := append(wrapper, binary, "-test.run", pattern, "-test.v")
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Dir = temp
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + temp, "TMPDIR=" + temp}, env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS") || strings.Contains(string(out), "--- SKIP") {
		t.Errorf("%v: %v\n%s", args, err, out)
	}
}

// An ordinary user's guests are contained as well.
func TestAsOrdinaryUser(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("every test runs as an ordinary user already")
	}
	const nobodysUser = 54321
	rerunAll(t, &syscall.Credential{Uid: nobodysUser, Gid: nobodysUser}, nil,
		"^(TestPoweroff|TestPanic|TestHostfsShowsNoHostFile|TestRootHoldsOnlyTheGuestsFiles|TestKernelHasNoPrivileges|TestNothingIsLeft|TestAdopt|TestFailedStarts|TestDisk)$")
}

// A system instance's guest runs as an unprivileged user, in namespaces or
// not, and its files are its user's meanwhile.
func TestUnprivilegedUser(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root has other users' guests")
	}
	bothWays(t, func(t *testing.T, contain bool) {
		const id = 54322
		spec := newSpec(t, `echo GUEST UP; dd if=/dev/zero of=/dev/ubdb bs=512 count=1 && echo WRITTEN; read x; poweroff -f`)
		spec.Contain, spec.User = contain, &supervisor.User{UID: id, GID: id}
		disk := filepath.Join(filepath.Dir(spec.LogFile), "disk")
		if err := os.WriteFile(disk, make([]byte, 1<<20), 0o600); err != nil {
			t.Fatal(err)
		}
		spec.Files = append(spec.Files, supervisor.File{Host: disk, Guest: "/disk1", Lock: supervisor.LockWrite, Own: true})
		spec.Args = append(spec.Args, "ubd1cd="+supervisor.Root+"/disk1")
		g := start(t, spec)
		if g.Facts().Contained != contain {
			t.Errorf("facts %+v", g.Facts())
		}
		c := g.console()
		g.await(supervisor.Ready)
		c.until("WRITTEN")
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.Facts().GuestPID))
		g.must(err)
		want := fmt.Sprintf("Uid:\t%d\t%[1]d\t%[1]d\t%[1]d\nGid:\t%[1]d\t%[1]d\t%[1]d\t%[1]d", id)
		if !strings.Contains(string(status), want) || !strings.Contains(string(status), "Groups:\t \n") {
			t.Errorf("status of the kernel:\n%s", status)
		}
		if uid := owner(t, disk); uid != id {
			t.Errorf("the disk is of user %d", uid)
		}
		c.say("\n")
		g.awaitExit("shutdown")
		if uid := owner(t, disk); uid != 0 {
			t.Errorf("after the end, the disk is of user %d", uid)
		}
	})
}

func owner(t *testing.T, path string) int {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return int(info.Sys().(*syscall.Stat_t).Uid)
}

// A disk is locked against a second guest, and usable with paths that the
// kernel's own syntax has no room for.
func TestDisk(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, contain bool) {
		spec := newSpec(t, `printf MARK > /dev/ubdb && sync && echo WRITTEN; read x; poweroff -f`)
		spec.Contain = contain
		disk := filepath.Join(filepath.Dir(spec.LogFile), "my, own: disk")
		if err := os.WriteFile(disk, make([]byte, 1<<20), 0o600); err != nil {
			t.Fatal(err)
		}
		spec.Files = append(spec.Files, supervisor.File{Host: disk, Guest: "/disk1", Lock: supervisor.LockWrite})
		spec.Args = append(spec.Args, "ubd1csd="+supervisor.Root+"/disk1")
		g := start(t, spec)
		c := g.console()
		g.await(supervisor.Ready)
		c.until("WRITTEN")

		other := newSpec(t, "read x")
		other.Files = append(other.Files, supervisor.File{Host: disk, Guest: "/disk1", ReadOnly: true, Lock: supervisor.LockShared})
		refused(t, other, "in use by another guest")

		c.say("\n")
		g.awaitExit("shutdown")
		text, err := os.ReadFile(disk)
		g.must(err)
		if !strings.HasPrefix(string(text), "MARK") {
			t.Errorf("the disk starts with %q", text[:8])
		}
		h := start(t, other) // the lock is gone with the guest
		h.await(supervisor.Ready)
	})
}

// refused checks that spec is refused with the text and leaves nothing.
func refused(t *testing.T, spec *supervisor.Spec, want string) {
	t.Helper()
	h, err := supervisor.Start(t.Context(), "/proc/self/exe", spec)
	if err == nil {
		h.Close()
		t.Fatalf("it starts; want an error with %q", want)
	}
	if !strings.Contains(err.Error(), want) {
		t.Errorf("error %q, want %q in it", err, want)
	}
	for _, path := range []string{spec.Dir, filepath.Join(spec.UMLDir, spec.UMID)} {
		if _, err := os.Lstat(path); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", path, err)
		}
	}
}

func TestFailedStarts(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		change func(t *testing.T, spec *supervisor.Spec, dir string)
		want   string
	}{
		"no kernel": {func(t *testing.T, s *supervisor.Spec, dir string) { s.Kernel = dir + "/absent" }, "absent': no such file"},
		"not executable": {func(t *testing.T, s *supervisor.Spec, dir string) {
			s.Kernel = writeFile(t, dir+"/kernel", "\x7fELF", 0o644)
		}, "kernel': permission denied"},
		"not a program": {func(t *testing.T, s *supervisor.Spec, dir string) {
			s.Kernel = writeFile(t, dir+"/kernel", "\x00\x01\x02\x03", 0o755)
		}, "not a UML kernel"},
		"no loader": {func(t *testing.T, s *supervisor.Spec, dir string) { s.Libraries = nil }, "the loader or a library"},
		"no initrd": {func(t *testing.T, s *supervisor.Spec, dir string) { s.Files[0].Host = dir + "/absent" }, "absent': no such file"},
		"no disk": {func(t *testing.T, s *supervisor.Spec, dir string) {
			s.Files = append(s.Files, supervisor.File{Host: dir + "/absent", Guest: "/disk1", Lock: supervisor.LockWrite})
		}, "cannot open '" /* path */},
		"no folder for the socket": {func(t *testing.T, s *supervisor.Spec, dir string) {
			s.Channels = append(s.Channels, supervisor.Channel{Line: "ssl0", Chardev: domxml.Chardev{Type: domxml.ChardevUnix, Path: dir + "/absent/socket"}})
		}, "line ssl0: cannot listen"},
		"no device": {func(t *testing.T, s *supervisor.Spec, dir string) {
			s.Channels = append(s.Channels, supervisor.Channel{Line: "ssl0", Chardev: domxml.Chardev{Type: domxml.ChardevDev, Path: dir + "/absent"}})
		}, "line ssl0: cannot open the device"},
		"no log": {func(t *testing.T, s *supervisor.Spec, dir string) { s.LogFile = dir + "/absent/log" }, "guest's log"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec := newSpec(t, "read x")
			c.change(t, spec, filepath.Dir(spec.LogFile))
			if name == "no loader" {
				contained := *spec
				refused(t, &contained, c.want)
				return
			}
			bothWays(t, func(t *testing.T, contain bool) {
				spec := newSpec(t, "read x")
				spec.Contain = contain
				c.change(t, spec, filepath.Dir(spec.LogFile))
				refused(t, spec, c.want)
			})
		})
	}
}

func writeFile(t *testing.T, path, text string, mode os.FileMode) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// A program that is no kernel, or a kernel that gives up, says why.
func TestLastWords(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		change func(s *supervisor.Spec)
		want   string
	}{
		"another program":   {func(s *supervisor.Spec) { s.Kernel = "/bin/busybox"; s.Libraries = nil }, "applet not found"},
		"too little memory": {func(s *supervisor.Spec) { s.Args[0] = "mem=4M" }, "Too few physical memory"},
		"shm too small":     {func(s *supervisor.Spec) { s.ShmBytes = 1 << 20 }, "ran out of space"},
		"other umid":        {func(s *supervisor.Spec) { s.Args[1] = "umid=other" }, "did not take the umid 'demo'"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec := newSpec(t, "read x")
			c.change(spec)
			g := start(t, spec)
			if exit := g.awaitExit("failed"); !strings.Contains(exit.Text, c.want) {
				t.Errorf("exit %+v, want %q in its text", exit, c.want)
			}
			g.gone()
		})
	}
}
