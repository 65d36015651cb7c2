package supervisor

import (
	"fmt"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"virtumld/internal/rundir"
	"virtumld/internal/supervisor/contain"
	"virtumld/internal/supervisor/process"
)

// Command is the argument that makes the binary run Main, InitCommand the one
// for InitMain and ChangeCommand the one for ChangeMain. All belong before any
// other initialisation.
const (
	Command       = "supervise"
	InitCommand   = contain.InitCommand
	ChangeCommand = contain.ChangeCommand
)

// controlFD is the descriptor on which a supervisor inherits its listening
// control socket.
const controlFD = 3

// Main is the supervisor process; args are the arguments after Command. It
// returns the process's exit status.
func Main(args []string) int {
	if len(args) != 1 {
		fmt.Fprintln(os.Stderr, "virtumld: supervise is run by the daemon only")
		return 2
	}
	// Many guests, many supervisors: memory counts for more than speed.
	debug.SetGCPercent(20)
	syscall.Umask(0o077)
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT)
	terminate := make(chan os.Signal, 1)
	signal.Notify(terminate, syscall.SIGTERM)

	if err := supervise(args[0], terminate); err != nil {
		fmt.Fprintln(os.Stderr, "virtumld: supervise:", err)
		return 1
	}
	return 0
}

// InitMain is the second stage of a kernel's start; args are the arguments
// after InitCommand. It returns only when the kernel could not be executed.
func InitMain(args []string) int { return contain.Init(args) }

// ChangeMain changes the files of a running guest and returns the process's exit
// status.
func ChangeMain() int { return contain.ChangeMain() }

func supervise(dir string, terminate <-chan os.Signal) error {
	spec := &Spec{}
	if err := rundir.ReadJSON(dir, specFile, spec); err != nil {
		return err
	}
	syscall.CloseOnExec(controlFD)
	file := os.NewFile(controlFD, controlFile)
	listener, err := net.FileListener(file)
	file.Close()
	if err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	unixListener, ok := listener.(*net.UnixListener)
	if !ok {
		return fmt.Errorf("control socket: %T is not a unix socket", listener)
	}
	g := newGuest(spec, newHub(unixListener))
	if err := g.make(); err != nil {
		g.release()
		g.refuse(err)
		return nil
	}
	if err := process.Shed(); err != nil {
		g.log("the supervisor takes more memory than it needs: %v", err)
	}
	g.run(terminate)
	return nil
}
