package daemon

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math"
	"path/filepath"
	"strconv"
	"time"

	"virtumld/internal/config"
)

// Options are the choices of a command line.
type Options struct {
	// Timeout ends the daemon when it has had no client and no running
	// guest for so long; 0 for never.
	Timeout time.Duration
	// Config is the settings' file; empty for the instance's own, which
	// need not exist.
	Config string
	// PIDFile is the pid and lock file; empty for the instance's own.
	PIDFile string
	// Root holds all files of the system instance, "/" but for trials.
	Root string
	// LogLevel, unless nil, overrules the settings' log level.
	LogLevel *slog.Level
}

// Usage is the answer to --help.
const Usage = `Usage: virtumld [OPTION]...
Manage User Mode Linux guests for libvirt clients: uml:///system when run by
root, uml:///session otherwise.

  -t, --timeout SECONDS   exit after so long without a client and a running
                          guest (default: never)
  -f, --config FILE       read the settings from FILE
  -p, --pid-file FILE     use FILE as pid and lock file
      --root DIR          keep all files of the system instance under DIR
      --log-level LEVEL   log from this level on: debug, info, warning, error
  -v, --verbose           the same as --log-level info
  -V, --version           print the version and exit
  -h, --help              print this help and exit

See virtumld(8) for files, signals and exit status.
`

// Command is what a command line asks for.
type Command int

// The commands.
const (
	CommandRun Command = iota
	CommandHelp
	CommandVersion
)

// ParseArgs reads a command line without the program's name.
func ParseArgs(args []string) (Options, Command, error) {
	var opts Options
	var help, version bool
	flags := flagSet(&opts, &help, &version)
	if err := flags.Parse(args); err != nil {
		return Options{}, CommandRun, err
	}
	switch {
	case help:
		return opts, CommandHelp, nil
	case version:
		return opts, CommandVersion, nil
	case flags.NArg() > 0:
		return Options{}, CommandRun, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	default:
		return opts, CommandRun, nil
	}
}

// flagSet declares the flags under libvirt's names for them.
func flagSet(opts *Options, help, version *bool) *flag.FlagSet {
	flags := flag.NewFlagSet("virtumld", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	timeout := func(text string) error {
		// libvirtd's limit: the milliseconds fit an int.
		n, err := strconv.ParseUint(text, 10, 31)
		if err != nil || n > math.MaxInt32/1000 {
			return fmt.Errorf("it must be a number of seconds up to %d", math.MaxInt32/1000)
		}
		opts.Timeout = time.Duration(n) * time.Second
		return nil
	}
	logLevel := func(text string) error {
		level, err := config.ParseLevel(text)
		opts.LogLevel = &level
		return err
	}
	verbose := func(text string) error {
		on, err := strconv.ParseBool(text)
		if on {
			return logLevel("info")
		}
		return err
	}
	for _, name := range []string{"t", "timeout"} {
		flags.Func(name, "", timeout)
	}
	for _, name := range []string{"f", "config"} {
		flags.Func(name, "", pathFlag(&opts.Config))
	}
	for _, name := range []string{"p", "pid-file"} {
		flags.Func(name, "", pathFlag(&opts.PIDFile))
	}
	opts.Root = "/"
	flags.Func("root", "", pathFlag(&opts.Root))
	flags.Func("log-level", "", logLevel)
	for _, name := range []string{"v", "verbose"} {
		flags.BoolFunc(name, "", verbose)
	}
	for _, name := range []string{"V", "version"} {
		flags.BoolVar(version, name, false, "")
	}
	for _, name := range []string{"h", "help"} {
		flags.BoolVar(help, name, false, "")
	}
	return flags
}

// pathFlag takes a path, and makes it absolute.
func pathFlag(to *string) func(string) error {
	return func(text string) error {
		if text == "" {
			return errors.New("it must name a file")
		}
		absolute, err := filepath.Abs(text)
		*to = absolute
		return err
	}
}
