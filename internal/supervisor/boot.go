package supervisor

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"virtumld/internal/supervisor/contain"
	"virtumld/internal/supervisor/process"
)

// drainTime is how long a dead kernel's last output is waited for. Nobody else
// holds its descriptors, so it is there at once.
const drainTime = 2 * time.Second

// boot starts a kernel on the guest's consoles; with hold it waits for
// runHeld before its first instruction.
func (g *guest) boot(hold bool) error {
	g.ready, g.panicked, g.told, g.terminated, g.intent, g.next = false, "", false, false, IntentNone, nil
	g.state.Facts.Preserved = false
	err := g.bootOnce(hold)
	var failure *contain.Failure
	if errors.As(err, &failure) && failure.Stage == contain.StageNamespace && g.state.Facts.Contained {
		g.log("WARNING: the guest runs without namespaces of its own, because this host offers none (%v); "+
			"a guest kernel that is broken into can do what its user on the host can do", failure)
		g.state.Facts.Contained = false
		err = g.bootOnce(hold)
	}
	if err != nil {
		return startError(g.spec, err)
	}
	g.state.Facts.Held = hold
	g.save()
	return nil
}

func (g *guest) bootOnce(hold bool) error {
	// What a crashed kernel left under its umid would make the next one take
	// another.
	if err := os.RemoveAll(filepath.Join(g.spec.uml(), g.spec.UMID)); err != nil {
		return err
	}
	plan, err := g.plan(hold)
	if err != nil {
		return err
	}
	g.logHeader(plan)
	kernel, err := g.spawn(plan)
	if err != nil {
		g.closeBoot()
		return err
	}
	if err := kernel.Started(); err != nil {
		_ = kernel.Kill()
		_, waitErr := kernel.Wait(g.held.nics.Children)
		kernel.Close()
		g.closeBoot()
		return errors.Join(err, waitErr)
	}
	if !hold {
		kernel.Close()
	}
	g.kernel, g.booted = kernel, time.Now()
	g.state.Facts.GuestPID = kernel.PID
	g.state.Guest, _ = process.Of(kernel.PID) // gone already: exits tells
	if err := g.held.entry.setPID(kernel.PID); err != nil {
		g.log("%v", err)
	}
	go func() {
		status, err := kernel.Wait(g.held.nics.Children)
		g.exits <- exited{status, err}
	}()
	return nil
}

// spawn starts the second stage with its ends of the consoles and of the log.
func (g *guest) spawn(plan *contain.Plan) (*contain.Process, error) {
	var ends []*os.File
	defer func() { closeAll(ends) }()
	for _, line := range g.held.lines {
		end, err := line.Boot()
		if err != nil {
			return nil, err
		}
		ends = append(ends, end)
	}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer write.Close()
	g.held.output.Reset()
	g.held.outputRead, g.held.outputDone = read, make(chan struct{})
	go func(done chan struct{}) {
		defer close(done)
		_, _ = io.Copy(io.MultiWriter(g.held.output, lenient{g.held.log}), read)
	}(g.held.outputDone)
	if !plan.Isolated {
		if err := contain.Subreap(); err != nil {
			return nil, err
		}
	}
	return g.spawner.Spawn(plan, write, ends)
}

// lenient hides the errors of a log on a full disk: the guest must not stop
// for it.
type lenient struct{ io.Writer }

func (l lenient) Write(p []byte) (int, error) {
	_, _ = l.Writer.Write(p)
	return len(p), nil
}

// closeBoot takes the last output of a kernel that has ended.
func (g *guest) closeBoot() {
	for _, line := range g.held.lines {
		line.EndBoot(drainTime)
	}
	if g.held.outputRead != nil {
		_ = g.held.outputRead.SetReadDeadline(time.Now().Add(drainTime))
		<-g.held.outputDone
		g.held.outputRead.Close()
		g.held.outputRead = nil
	}
}

// plan says how the kernel is to be started.
func (g *guest) plan(hold bool) (*contain.Plan, error) {
	plan := &contain.Plan{ShmBytes: g.spec.ShmBytes, Hold: hold}
	if g.spec.User != nil {
		plan.User = &contain.User{UID: g.spec.User.UID, GID: g.spec.User.GID}
	}
	if g.state.Facts.Contained {
		g.planContained(plan)
		return plan, nil
	}
	return plan, g.planPlain(plan)
}

// planContained gives the guest a root with its own files only.
func (g *guest) planContained(plan *contain.Plan) {
	kernel := guestKernel(g.spec.Kernel)
	plan.Isolated = true
	plan.Root = g.spec.path(rootFolder)
	plan.Dir = path.Clean(GuestUMLDir)
	plan.Exec = kernel
	plan.Args = append([]string{kernel}, replaceRoot(g.args(), "")...)
	plan.Env = []string{"HOME=/", "TMPDIR=/dev/shm"}
	plan.Folders = []string{GuestHostfs}
	plan.Binds = []contain.Bind{
		{Host: g.spec.Kernel, Guest: kernel, ReadOnly: true},
		{Host: g.spec.uml(), Guest: plan.Dir},
	}
	plan.Access = []contain.Access{{Path: kernel, Host: g.spec.Kernel, Exec: true}}
	var folders []string
	for _, library := range g.spec.Libraries {
		plan.Binds = append(plan.Binds, contain.Bind{Host: library, Guest: library, ReadOnly: true})
		if folder := filepath.Dir(library); !slices.Contains(folders, folder) {
			folders = append(folders, folder)
		}
	}
	if len(folders) > 0 {
		// The loader's cache of the host is not there.
		plan.Env = append(plan.Env, "LD_LIBRARY_PATH="+strings.Join(folders, ":"))
	}
	for _, file := range g.spec.files() {
		plan.Binds = append(plan.Binds, contain.Bind{Host: file.Host, Guest: file.Guest, ReadOnly: file.ReadOnly})
		plan.Access = append(plan.Access, access(file, file.Guest))
	}
}

// plainRoot is what replaces Root without namespaces. Relative names are short,
// which socket paths must be, and free of whatever the folder's own path holds.
const plainRoot = "../" + rootFolder

// planPlain runs the kernel in the host's namespaces, where a folder of links
// stands for its root.
func (g *guest) planPlain(plan *contain.Plan) error {
	shm, err := execFolder()
	if err != nil {
		return err
	}
	if err := makeLinks(g.spec); err != nil {
		return err
	}
	plan.Dir = g.spec.uml()
	plan.Exec = g.spec.Kernel
	root := plainRoot
	plan.Args = []string{g.spec.Kernel, "hostfs=" + root + GuestHostfs}
	plan.Args = append(plan.Args, replaceRoot(g.args(), root)...)
	plan.Env = []string{"HOME=/", "TMPDIR=" + shm}
	plan.Access = []contain.Access{{Path: g.spec.Kernel, Host: g.spec.Kernel, Exec: true}}
	for _, file := range g.spec.files() {
		plan.Access = append(plan.Access, access(file, file.Host))
	}
	return nil
}

// access is what the kernel needs of a file. A folder is a share: what the
// guest may not write there is its own affair.
func access(file File, path string) contain.Access {
	info, err := os.Stat(file.Host)
	folder := err == nil && info.IsDir()
	return contain.Access{Path: path, Host: file.Host, Write: !file.ReadOnly && !folder}
}

// args are the kernel's arguments of this boot.
func (g *guest) args() []string {
	return slices.Concat(g.interfaceArgs(), g.diskArgs(), g.spec.Args)
}

func replaceRoot(args []string, root string) []string {
	out := make([]string, len(args))
	for i, arg := range args {
		out[i] = strings.ReplaceAll(arg, Root, root)
	}
	return out
}

// guestKernel is where the guest's root has the kernel: where the host has it,
// unless that is one of the guest's own folders.
func guestKernel(host string) string {
	for _, own := range []string{"/dev/", "/proc/", GuestUMLDir} {
		if strings.HasPrefix(host, own) {
			return "/kernel"
		}
	}
	return host
}

// makeLinks makes the folder that stands for the guest's root.
func makeLinks(spec *Spec) error {
	root := spec.path(rootFolder)
	if err := os.RemoveAll(root); err != nil {
		return err
	}
	if err := makeReachable(filepath.Join(root, GuestHostfs)); err != nil {
		return err
	}
	if err := os.Symlink("../"+umlFolder, filepath.Join(root, GuestUMLDir)); err != nil {
		return err
	}
	if spec.User != nil {
		// Its user must get through; it still cannot list the folder.
		if err := os.Chmod(spec.Dir, 0o711); err != nil {
			return err
		}
	}
	for _, file := range spec.files() {
		if err := link(root, file); err != nil {
			return err
		}
	}
	return nil
}

func link(root string, file File) error {
	name := filepath.Join(root, file.Guest)
	if err := makeReachable(filepath.Dir(name)); err != nil {
		return err
	}
	return os.Symlink(file.Host, name)
}

// makeReachable makes a folder that every user can get through.
func makeReachable(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := makeReachable(filepath.Dir(dir)); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	return os.Chmod(dir, 0o755)
}

// execFolder finds a folder for the kernel's memory, which must allow it to
// execute from there.
func execFolder() (string, error) {
	for _, dir := range []string{"/dev/shm", "/tmp", "/var/tmp"} {
		var fs unix.Statfs_t
		if unix.Statfs(dir, &fs) == nil && fs.Flags&unix.ST_NOEXEC == 0 {
			return dir, nil
		}
	}
	return "", fmt.Errorf("none of /dev/shm, /tmp and /var/tmp allows execution, which the kernel's memory needs")
}
