package netd

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"virtumld/internal/rundir"
	"virtumld/internal/supervisor/process"
)

// controlFD is the descriptor on which the process inherits its listening
// control socket, parentFD the pipe whose other end its starter holds.
const (
	controlFD = 3
	parentFD  = 4
)

// garbagePercent is how much the heap grows before it is cleaned up. A gateway
// makes much garbage, so that less would cost more time than memory is worth.
const garbagePercent = 50

// Main is a network's process; args are the arguments after Command. It returns
// the process's exit status.
func Main(args []string) int {
	if len(args) != 1 {
		fmt.Fprintln(os.Stderr, "virtumld: network is run by the daemon and by supervisors only")
		return 2
	}
	debug.SetGCPercent(garbagePercent)
	syscall.Umask(0o077)
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, args[0]); err != nil {
		fmt.Fprintln(os.Stderr, "virtumld: network:", err)
		return 1
	}
	return 0
}

// serve serves the network of dir until ctx ends.
func serve(ctx context.Context, dir string) error {
	spec := &Spec{}
	if err := rundir.ReadJSON(dir, specFile, spec); err != nil {
		return err
	}
	spec.Dir = dir
	listener, err := inheritControl()
	if err != nil {
		return err
	}
	defer listener.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if spec.Parent {
		syscall.CloseOnExec(parentFD)
		go awaitParent(os.NewFile(parentFD, "parent"), cancel)
	}
	s := newServer(spec)
	defer s.close()
	if err := s.open(); err != nil {
		refuse(ctx, listener, err)
		return err
	}
	if err := process.Shed(); err != nil {
		fmt.Fprintln(os.Stderr, "virtumld: network: it takes more memory than it needs:", err)
	}
	s.run(ctx, listener)
	return nil
}

// awaitParent calls end when nobody holds the other end of the pipe any more.
// It ends with the process.
func awaitParent(pipe *os.File, end func()) {
	_, _ = io.Copy(io.Discard, pipe)
	end()
}

func inheritControl() (*net.UnixListener, error) {
	syscall.CloseOnExec(controlFD)
	file := os.NewFile(controlFD, controlFile)
	listener, err := net.FileListener(file)
	file.Close()
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	unixListener, ok := listener.(*net.UnixListener)
	if !ok {
		return nil, fmt.Errorf("control socket: %T is not a unix socket", listener)
	}
	// Who started this process removes the socket's file; here it has no
	// path that would stay true.
	unixListener.SetUnlinkOnClose(false)
	return unixListener, nil
}
