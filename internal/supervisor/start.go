package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	libvirt "github.com/digitalocean/go-libvirt"
	"golang.org/x/sys/unix"

	"virtumld/internal/rundir"
	"virtumld/internal/supervisor/process"
	"virtumld/internal/virerr"
)

// Start writes spec and starts a supervisor (executable, the running binary)
// for it. It returns when the guest is made: its consoles are there and its
// kernel runs, or waits for Run. Events from Ready on follow on Events. A
// failure leaves nothing behind.
func Start(ctx context.Context, executable string, spec *Spec) (*Handle, error) {
	if err := prepare(spec); err != nil {
		return nil, err
	}
	h, err := start(ctx, executable, spec)
	if err != nil {
		if removeErr := os.RemoveAll(spec.Dir); removeErr != nil {
			err = errors.Join(err, removeErr)
		}
		return nil, err
	}
	return h, nil
}

// prepare makes the guest's folder. One that is there already belongs to a
// guest that the daemon has not taken note of, unless nothing was begun in it.
func prepare(spec *Spec) error {
	if err := os.MkdirAll(filepath.Dir(spec.Dir), 0o711); err != nil {
		return fileError("make", filepath.Dir(spec.Dir), err)
	}
	err := os.Mkdir(spec.Dir, 0o700)
	if errors.Is(err, fs.ErrExist) {
		ctx, cancel := context.WithTimeout(context.Background(), helloTime)
		defer cancel()
		h, _, err := Adopt(ctx, spec.Dir)
		if err != nil && !errors.Is(err, errNoGuest) {
			return err
		}
		if h != nil {
			h.Close()
			return virerr.New(libvirt.ErrOperationInvalid, "the domain's guest is already running")
		}
		if err := os.RemoveAll(spec.Dir); err != nil {
			return fileError("remove", spec.Dir, err)
		}
		return prepare(spec)
	}
	if err != nil {
		return fileError("make", spec.Dir, err)
	}
	return nil
}

func start(ctx context.Context, executable string, spec *Spec) (*Handle, error) {
	if err := rundir.WriteJSON(spec.Dir, specFile, spec); err != nil {
		return nil, fmt.Errorf("cannot write the guest's specification: %w", err)
	}
	supervisor, err := spawn(executable, spec.Dir)
	if err != nil {
		return nil, fmt.Errorf("cannot start the guest's supervisor: %w", err)
	}
	conn, facts, exit, err := connect(ctx, spec.Dir)
	if err == nil && exit == nil {
		return newHandle(spec.Dir, conn, facts), nil
	}
	if exit != nil {
		// It ended before it was asked: as good as a failed start.
		err = virerr.In(virerr.UML, libvirt.ErrInternalError, "%s", exit.Text)
	}
	var refusal *refusedError
	if errors.As(err, &refusal) {
		supervisor.wait(leaveTime) // it has given everything back
		return nil, refusal.error
	}
	_ = supervisor.Kill() // it may be what did not answer
	supervisor.wait(cleanUpTime)
	return nil, errors.Join(err, cleanUp(spec.Dir))
}

// leaveTime is how long a supervisor that has nothing to do may take to end.
const leaveTime = 5 * time.Second

// child is a supervisor as its starter sees it.
type child struct {
	*os.Process
	// ended is closed once it has ended and was reaped.
	ended chan struct{}
}

// wait waits for its end, and kills it when that takes longer than limit.
func (c *child) wait(limit time.Duration) {
	select {
	case <-c.ended:
	case <-time.After(limit):
		_ = c.Kill()
	}
}

// spawn starts the supervisor in a session of its own, with nothing of the
// daemon's but the control socket that it listens on. The socket is made here,
// so that from now on who connects reaches the supervisor or learns that it
// has died.
func spawn(executable, dir string) (*child, error) {
	control, err := rundir.Listen(dir, controlFile)
	if err != nil {
		return nil, err
	}
	defer control.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	stderr, err := os.OpenFile(filepath.Join(dir, stderrFile), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer stderr.Close()
	pidfd := -1
	started, err := os.StartProcess(executable, []string{"virtumld", Command, dir}, &os.ProcAttr{
		Dir:   "/",
		Env:   []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/"},
		Files: []*os.File{null, null, stderr, control},
		Sys:   &syscall.SysProcAttr{Setsid: true, PidFD: &pidfd},
	})
	if err != nil {
		return nil, err
	}
	c := &child{started, make(chan struct{})}
	go c.reap(pidfd)
	return c, nil
}

// reap waits for the end of a supervisor, on its pidfd where the host gives
// one: a thread in wait(2) for each guest would be most of what it costs.
func (c *child) reap(pidfd int) {
	defer close(c.ended)
	if pidfd >= 0 {
		_ = unix.SetNonblock(pidfd, true) // else AwaitEnd fails, and Wait waits
		file := os.NewFile(uintptr(pidfd), "pidfd")
		_ = process.AwaitEnd(file)
		file.Close()
	}
	_, _ = c.Wait()
}

// connect connects to a supervisor and takes its first report. The error is a
// refusedError when it could not make its guest, and errNoGuest when there is
// none.
func connect(ctx context.Context, dir string) (*net.UnixConn, Facts, *Exit, error) {
	conn, err := rundir.Dial(dir, controlFile)
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist) {
		return nil, Facts{}, nil, fmt.Errorf("%w: %w", errNoGuest, err)
	}
	if err != nil {
		return nil, Facts{}, nil, err
	}
	stop := rundir.Bound(ctx, conn)
	var first report
	err = receive(conn, &first)
	stop()
	switch {
	case err != nil && ctx.Err() != nil:
		err = late(ctx)
	case err != nil:
		err = fmt.Errorf("%w: %w", errNoGuest, err)
	case first.Error != nil:
		err = &refusedError{first.Error.error()}
	}
	if err != nil {
		conn.Close()
		return nil, Facts{}, nil, err
	}
	if first.Event != nil && first.Event.Type == Exited {
		_ = send(conn, request{Command: cmdNoted})
		conn.Close()
		return nil, Facts{}, first.Event.Exit, nil
	}
	return conn, *first.Facts, nil, nil
}

// refusedError is why a supervisor could not make its guest. It holds nothing
// any more.
type refusedError struct{ error }

// errNoGuest says that no supervisor serves a folder.
var errNoGuest = errors.New("no supervisor serves the guest")
