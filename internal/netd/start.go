package netd

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	libvirt "github.com/digitalocean/go-libvirt"
	"golang.org/x/sys/unix"

	"virtumld/internal/rundir"
	"virtumld/internal/supervisor/process"
)

// Start writes spec and starts its process (executable: the running binary).
// It returns when the process serves, or with why it cannot: a *virerr.Error.
// A failure leaves nothing running. With Spec.Parent the process ends with the
// calling one.
func Start(ctx context.Context, executable string, spec *Spec) (*Process, error) {
	if err := prepare(ctx, spec); err != nil {
		return nil, err
	}
	p, err := spawn(executable, spec)
	if err != nil {
		removeFiles(spec.Dir)
		return nil, failed(libvirt.ErrInternalError, "cannot start the process of network %s: %w", spec.Name, err)
	}
	err = p.greet(ctx)
	if err == nil {
		return p, nil
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), killTime)
	defer cancel()
	return nil, errors.Join(err, p.Stop(end))
}

// prepare makes the network's folder and its files.
func prepare(ctx context.Context, spec *Spec) error {
	if err := os.MkdirAll(filepath.Dir(spec.Dir), 0o711); err != nil {
		return failed(libvirt.ErrSystemError, "cannot make the folder of network %s: %w", spec.Name, err)
	}
	if err := os.Mkdir(spec.Dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return failed(libvirt.ErrSystemError, "cannot make the folder of network %s: %w", spec.Name, err)
	}
	switch p, err := Find(ctx, spec.Dir); {
	case err == nil:
		return failed(libvirt.ErrOperationInvalid, "network %s has a process already: %d", spec.Name, p.PID())
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	removeFiles(spec.Dir)
	if err := rundir.WriteJSON(spec.Dir, specFile, spec); err != nil {
		return failed(libvirt.ErrSystemError, "cannot write the settings of network %s: %w", spec.Name, err)
	}
	return nil
}

// removeFiles removes what a process that has ended left.
func removeFiles(dir string) {
	for _, name := range []string{controlFile, processFile} {
		_ = os.Remove(filepath.Join(dir, name)) // it may never have been made
	}
}

// spawn starts the process in a session of its own, with the socket that it
// serves, so that from now on who connects reaches it or learns that it has
// died.
func spawn(executable string, spec *Spec) (*Process, error) {
	control, err := rundir.Listen(spec.Dir, controlFile)
	if err != nil {
		return nil, err
	}
	defer control.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	log, err := os.OpenFile(filepath.Join(spec.Dir, logFile), os.O_CREATE|os.O_WRONLY|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	files := []*os.File{null, null, log, control}
	p := newProcess(spec.Dir)
	if spec.Parent {
		life, parent, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		defer life.Close()
		files, p.parent = append(files, life), parent
	}
	if err := p.execute(executable, files, spec.User != nil); err != nil {
		closeFile(p.parent)
		return nil, err
	}
	return p, rundir.WriteJSON(spec.Dir, processFile, p.id)
}

// execute starts the process; confined is one that is to become another user.
func (p *Process) execute(executable string, files []*os.File, confined bool) error {
	pidfd := -1
	start := os.StartProcess
	if confined {
		start = startConfined
	}
	child, err := start(executable, []string{"virtumld", Command, p.dir}, &os.ProcAttr{
		Dir:   "/",
		Env:   []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/"},
		Files: files,
		Sys:   &syscall.SysProcAttr{Setsid: true, PidFD: &pidfd},
	})
	if err != nil {
		return err
	}
	id, err := process.Of(child.Pid)
	if err != nil {
		id = process.ID{PID: child.Pid} // it has ended; nobody has waited for it
	}
	p.id = id
	go p.reap(child, pidfd)
	return nil
}

// connect connects to the process of dir and takes its first report.
func connect(ctx context.Context, dir string) (*channel, error) {
	conn, err := rundir.Dial(dir, controlFile)
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist) {
		return nil, notServed(dir)
	}
	if err != nil {
		return nil, failed(libvirt.ErrSystemError, "cannot reach the network's process in %s: %w", dir, err)
	}
	c, err := newChannel(conn)
	if err != nil {
		conn.Close()
		return nil, err
	}
	stop := rundir.Bound(ctx, c)
	defer stop()
	var first report
	err = discard(c.receive(&first))
	switch {
	case err != nil && ctx.Err() != nil:
		err = late(ctx)
	case err != nil: // it died before it got so far
		err = notServed(dir)
	default:
		err = first.Error.error()
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// discard closes a descriptor that nobody asked for.
func discard(file *os.File, err error) error {
	closeFile(file)
	return err
}

// greet waits until the process serves.
func (p *Process) greet(ctx context.Context) error {
	c, err := connect(ctx, p.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return failed(libvirt.ErrInternalError, "the network's process has died: %s", p.lastWords())
	}
	if err != nil {
		return err
	}
	return c.Close()
}

// lastWords is the end of what the process wrote.
func (p *Process) lastWords() string {
	file, err := os.Open(filepath.Join(p.dir, logFile))
	if err != nil {
		return err.Error()
	}
	defer file.Close()
	if size, err := file.Seek(0, io.SeekEnd); err == nil {
		_, _ = file.Seek(max(0, size-1000), io.SeekStart)
	}
	text, _ := io.ReadAll(file)
	if len(text) == 0 {
		return "it said nothing"
	}
	return string(text)
}
