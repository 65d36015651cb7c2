// Package run is "virtuml run": one command in a guest made for it, from an
// image to the command's exit status. It asks a daemon for everything through
// libvirt's API, as any client would, and talks to the guest's init (package
// guestinit) over the guest's console. It opens no image itself.
package run

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

// statusFailed is the exit status for a failure of virtuml itself, as
// container tools have it.
const statusFailed = 125

// ExitError carries an exit status to main. Err is nil when the status is the
// command's own and nothing remains to be said.
type ExitError struct {
	Status int
	Err    error
}

// Error is empty for a status of the command's own.
func (e *ExitError) Error() string {
	if e.Err == nil {
		return ""
	}
	return e.Err.Error()
}

// Unwrap is the cause, or nil.
func (e *ExitError) Unwrap() error { return e.Err }

// ExitStatus is what the process is to exit with, 1 to 255.
func (e *ExitError) ExitStatus() int { return e.Status }

// Command is "virtuml run". The errors of its RunE are *ExitError.
func Command() *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:   "run [flags] IMAGE [COMMAND [ARG...]]",
		Short: "Run a command in a guest of its own",
		Long: `Run a command in a new guest and exit with the command's status.

IMAGE is what "virtuml image import" has made of files: a volume of the pool of
--pool, POOL/VOLUME, or a path that begins with /, ./ or ../. The guest writes to a copy-on-write
volume of its own. Without COMMAND it runs what the image says.

With --net user the guest reaches what the host does, but for the host's own
loopback, as 10.0.2.15 behind a gateway that is its resolver, too; its init
asks for all that by DHCP. Nothing reaches the guest but by the ports of -p,
each on all addresses of the host unless one is given.

The exit status is the command's, 128 and the signal's number when a signal
ended it, 126 or 127 when it cannot be executed or found, and 125 when virtuml
itself has failed.`,
		Example: `  virtuml run --rm alpine
  virtuml run --rm -v $PWD:/src:ro --workdir /src alpine make -n
  echo hello | virtuml run --rm alpine cat
  virtuml run --rm --net user -p 8080:80 -p 127.0.0.1:5353:53/udp web
  virtuml run --name web -m 512M -e PORT=80 -u app images/web`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return &ExitError{statusFailed, errors.New("run: name an image; virtuml image list shows them")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.run(cmd.Context(), args[0], args[1:])
		},
	}
	f.define(cmd)
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &ExitError{statusFailed, err} })
	return cmd
}

// define adds the flags. They end at IMAGE: what follows is the command's.
func (f *flags) define(cmd *cobra.Command) {
	s := cmd.Flags()
	s.SetInterspersed(false)
	f.Define(cmd)
	cmd.ValidArgsFunction = f.First
	_ = cmd.RegisterFlagCompletionFunc("net", cobra.FixedCompletions([]string{"none", "user"}, cobra.ShellCompDirectiveNoFileComp))
	s.StringVar(&f.name, "name", "", "the guest's name (default: a new one)")
	s.StringVarP(&f.memory, "memory", "m", "256M", "the guest's memory, with the unit K, M or G")
	s.StringVar(&f.kernel, "kernel", "", "User Mode Linux kernel to boot (default: the daemon's)")
	s.BoolVar(&f.remove, "rm", false, "leave nothing behind when the command has ended")
	s.StringVar(&f.network, "net", "none", "network of the guest: none or user")
	s.StringArrayVarP(&f.volumes, "volume", "v", nil, "share a folder: HOST:GUEST or HOST:GUEST:ro")
	s.StringArrayVarP(&f.publish, "publish", "p", nil, "forward a port: [ADDRESS:]HOST:GUEST[/udp], with --net user")
	s.StringArrayVarP(&f.env, "env", "e", nil, "set a variable: NAME=VALUE, or NAME to pass the own one on")
	s.StringVarP(&f.user, "user", "u", "", "run as USER or USER:GROUP of the guest")
	s.StringVarP(&f.workdir, "workdir", "w", "", "folder to start in")
	s.StringVar(&f.entrypoint, "entrypoint", "", "program to run in place of the image's entrypoint")
	s.BoolVarP(&f.interactive, "interactive", "i", true, "pass standard input on")
	s.BoolVarP(&f.terminal, "tty", "t", false, "give the command a terminal (default: when standard input and output are one)")
}

func (f *flags) run(ctx context.Context, image string, args []string) error {
	io := hostStreams(f.terminal)
	p, err := f.plan(image, args, io)
	if err != nil {
		return &ExitError{statusFailed, fmt.Errorf("run: %w", err)}
	}
	status, err := runPlan(context.WithoutCancel(ctx), p, io)
	switch {
	case err != nil:
		return &ExitError{status, fmt.Errorf("run: %w", err)}
	case status != 0:
		return &ExitError{Status: status}
	default:
		return nil
	}
}

// randomName is for guests that nobody named.
func randomName() string { return fmt.Sprintf("run-%d-%06x", os.Getpid(), randomBits()) }
