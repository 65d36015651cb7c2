// Command virtumld is the libvirt daemon for User Mode Linux guests, and, run
// by itself under another argument, the supervisor of one guest.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"

	"virtumld/internal/daemon"
	"virtumld/internal/netd"
	"virtumld/internal/supervisor"
)

// version is set when the binary is built.
var version = "(unreleased)"

// The exit statuses, as virtumld(8) lists them.
const (
	exitFailed  = 1
	exitUsage   = 2
	exitRunning = 3
	exitConfig  = 4
)

func main() {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case supervisor.Command:
			os.Exit(supervisor.Main(os.Args[2:]))
		case supervisor.InitCommand:
			os.Exit(supervisor.InitMain(os.Args[2:]))
		case supervisor.ChangeCommand:
			os.Exit(supervisor.ChangeMain())
		case netd.Command:
			os.Exit(netd.Main(os.Args[2:]))
		}
	}
	opts, command, err := daemon.ParseArgs(os.Args[1:])
	switch {
	case err != nil:
		fmt.Fprintf(os.Stderr, "virtumld: %v\nTry 'virtumld --help'.\n", err)
		os.Exit(exitUsage)
	case command == daemon.CommandHelp:
		fmt.Print(daemon.Usage)
	case command == daemon.CommandVersion:
		fmt.Println("virtumld", version)
	default:
		os.Exit(run(opts))
	}
}

// run serves until the daemon is told to stop, and returns the exit status.
func run(opts daemon.Options) int {
	// Every file gets the mode that its maker asks for, and never more than
	// this: the session's files are its user's alone.
	mask := 0o077
	if os.Geteuid() == 0 {
		mask = 0o022
	}
	unix.Umask(mask)

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	// A closed stderr must not end the daemon. Taking the signal, unlike
	// ignoring it, leaves no trace in the processes that the daemon starts.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)

	err := daemon.Run(ctx, opts, reload)
	if err != nil {
		fmt.Fprintln(os.Stderr, "virtumld:", err)
	}
	switch {
	case err == nil:
		return 0
	case errors.Is(err, daemon.ErrRunning):
		return exitRunning
	case errors.Is(err, daemon.ErrConfig):
		return exitConfig
	default:
		return exitFailed
	}
}
