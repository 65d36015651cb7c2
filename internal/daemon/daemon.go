// Package daemon puts an instance of virtumld together and runs it: it reads
// the command line's choices and the settings, claims the instance, makes the
// sockets, and stops in order. What the daemon does for its clients is in the
// packages that it joins.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	sd "github.com/coreos/go-systemd/v22/daemon"

	"virtumld/internal/config"
	"virtumld/internal/hostinfo"
	"virtumld/internal/paths"
	"virtumld/internal/sock"
	"virtumld/internal/supervisor"
)

// ErrConfig is in the chain of errors of the settings' file.
var ErrConfig = errors.New("the settings cannot be used")

// setup is what an instance is built from.
type setup struct {
	config config.Config
	paths  paths.Paths
	host   *hostinfo.Host
	// guestUser is whom guests run as, nil in a session instance.
	guestUser *supervisor.User
	// changed is to be called when a client leaves and when a guest ends.
	changed func()
	log     *slog.Logger
}

// instance is what is behind the sockets.
type instance interface {
	// Serve answers the sockets' clients. It returns nil when ctx ends, once
	// the sockets are closed and the clients disconnected.
	Serve(ctx context.Context, sockets []sock.Socket) error
	// Autostart starts the pools and domains that are marked for it.
	Autostart(ctx context.Context)
	// Busy reports whether there is a client or a running guest.
	Busy() bool
	// Close lets go of the guests, which live on.
	Close() error
}

// build makes an instance, with the guests that an earlier daemon left.
type build func(ctx context.Context, s setup) (instance, error)

// run serves an instance until ctx ends, it was idle for opts.Timeout, or it
// fails. Each value on reload has the settings' log level read again.
func run(ctx context.Context, opts Options, reload <-chan os.Signal, build build) (err error) {
	level := &slog.LevelVar{}
	log := NewLogger(os.Stderr, level)
	p, err := instancePaths(opts)
	if err != nil {
		return err
	}
	settings, err := loadSettings(opts, p, log)
	if err != nil {
		return err
	}
	setLevel(level, opts, settings)
	if p.System && settings.SocketDir != "" {
		p.SocketDir = settings.SocketDir
	}

	if err := makeFolders(p); err != nil {
		return err
	}
	lock, err := acquire(p.PIDFile, endLimit)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.release()) }()
	idle := newIdle(opts.Timeout)
	defer idle.stop()
	s, err := newSetup(settings, p, idle.changed, log)
	if err != nil {
		return err
	}
	sockets, err := openSockets(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeSockets(sockets)) }()
	served, err := build(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, served.Close()) }()
	idle.start(served.Busy)
	return serve(ctx, s, served, sockets, events{idle: idle.expired, reload: reload, onReload: func() {
		reloadLevel(level, opts, p, log)
	}})
}

// events are what ends or changes a daemon that serves.
type events struct {
	idle     <-chan struct{}
	reload   <-chan os.Signal
	onReload func()
}

// serve answers clients until ctx ends or there is nothing to do any more.
func serve(ctx context.Context, s setup, served instance, sockets []sock.Socket, on events) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	group, ctx := errgroup.WithContext(ctx)
	names := addresses(sockets)
	group.Go(func() error { return served.Serve(ctx, sockets) })
	if first, err := firstOfBoot(s.paths.StateDir); err != nil {
		s.log.Error("domains not started automatically", "err", err)
	} else if first {
		group.Go(func() error { served.Autostart(ctx); return nil })
	}

	notify(s.log, sd.SdNotifyReady)
	s.log.Info("serving", "sockets", names, "pid", os.Getpid())
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-on.idle:
			s.log.Info("idle for long enough")
			stop()
		case <-on.reload:
			on.onReload()
		}
	}
	notify(s.log, sd.SdNotifyStopping)
	s.log.Info("stopping; running guests live on")
	return group.Wait()
}

// reloadLevel sets the log level of the settings' file as it is now.
func reloadLevel(level *slog.LevelVar, opts Options, p paths.Paths, log *slog.Logger) {
	fresh, err := loadSettings(opts, p, log)
	if err != nil {
		log.Error("settings not read again", "err", err)
		return
	}
	setLevel(level, opts, fresh)
	log.Info("log level read again", "log_level", level.Level())
}

// endLimit is how long another daemon is waited for, which may be about to
// end: a client that found it gone has started this one, and itself gives up
// after 5 s (libvirt's src/rpc/virnetsocket.c).
const endLimit = 2 * time.Second

// notify tells the service manager, where there is one (sd_notify(3)).
func notify(log *slog.Logger, state string) {
	if _, err := sd.SdNotify(false, state); err != nil {
		log.Warn("service manager not told", "state", state, "err", err)
	}
}

// instancePaths picks the instance by who runs the process.
func instancePaths(opts Options) (paths.Paths, error) {
	p := paths.ForThisProcess(opts.Root)
	if !p.System && opts.Root != "/" {
		return p, errors.New("--root is for the system instance, which root runs; a session instance follows HOME and the XDG variables")
	}
	if opts.PIDFile != "" {
		p.PIDFile = opts.PIDFile
	}
	return p, nil
}

// loadSettings reads the settings; only a file that was asked for must exist.
func loadSettings(opts Options, p paths.Paths, log *slog.Logger) (config.Config, error) {
	path := opts.Config
	if path == "" {
		path = p.ConfFile
	}
	c, warnings, err := config.Load(path)
	if opts.Config == "" && errors.Is(err, os.ErrNotExist) {
		return config.Default(), nil
	}
	if err != nil {
		return config.Config{}, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	for _, w := range warnings {
		log.Warn(w)
	}
	return c, nil
}

func setLevel(level *slog.LevelVar, opts Options, c config.Config) {
	if opts.LogLevel != nil {
		level.Set(*opts.LogLevel)
		return
	}
	level.Set(c.LogLevel)
}

func newSetup(c config.Config, p paths.Paths, changed func(), log *slog.Logger) (setup, error) {
	host, err := hostinfo.Local(hostinfo.Options{UUID: c.HostUUID, MachineID: c.HostUUIDFromMachineID})
	if err != nil {
		return setup{}, err
	}
	s := setup{config: c, paths: p, host: host, changed: changed, log: log}
	if p.System {
		if s.guestUser, err = guestUser(c); err != nil {
			return setup{}, fmt.Errorf("%w: %w", ErrConfig, err)
		}
	}
	return s, nil
}
