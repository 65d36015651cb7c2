package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"virtumld/internal/config"
	"virtumld/internal/dispatch"
	"virtumld/internal/domain"
	"virtumld/internal/driver"
	"virtumld/internal/network"
	"virtumld/internal/paths"
	"virtumld/internal/sock"
	"virtumld/internal/storage"
	"virtumld/internal/store"
	"virtumld/internal/supervisor"
	"virtumld/internal/uml"
	"virtumld/internal/uml/kernel"
)

// Run serves the instance of whoever runs the process until ctx ends, or until
// it was idle for opts.Timeout. Each value on reload has the settings' log
// level read again. The error has ErrRunning or ErrConfig in its chain where
// these are the reason.
func Run(ctx context.Context, opts Options, reload <-chan os.Signal) error {
	return run(ctx, opts, reload, newInstance)
}

// umlInstance is the real instance: the domains and what serves them.
type umlInstance struct {
	store    *store.Store
	domains  *domain.List
	pools    *storage.Pools
	networks *network.Networks
	machine  *uml.Machine
	server   *dispatch.Server
	clients  atomic.Int64
	log      *slog.Logger
}

// newInstance joins the packages, from the disk up to the clients.
func newInstance(ctx context.Context, s setup) (instance, error) {
	executable, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("cannot find this program's own file: %w", err)
	}
	st, err := store.Open(s.paths.ConfigDir, s.paths.StateDir)
	if err != nil {
		return nil, err
	}
	u := &umlInstance{store: st, log: s.log}
	if err := u.loadPools(ctx, s.paths); err != nil {
		return nil, errors.Join(err, u.Close())
	}
	if err := u.loadNetworks(ctx, s, executable); err != nil {
		return nil, errors.Join(err, u.Close())
	}
	kernels := newProber(s)
	u.machine = uml.New(uml.Config{
		Paths:         s.paths,
		Executable:    executable,
		Kernels:       kernels,
		Volumes:       volumes{u.pools},
		Networks:      u.networks,
		DefaultKernel: func() (string, error) { return defaultKernel(s.config) },
		User:          s.guestUser,
		KeepOwners:    !s.config.DynamicOwnership,
		Contain:       s.config.Contain == config.ContainAuto,
		Log:           s.log,
	})
	bus := &domain.Bus{}
	u.domains = domain.NewList(st, u.machine, bus, s.log)
	u.domains.OnIdle(s.changed)
	u.domains.OnBridge(func(name string) string {
		joint, _ := u.networks.Join(ctx, name, "") // without a network there is no bridge
		return joint.Bridge
	})
	if err := u.domains.Load(ctx); err != nil {
		return nil, errors.Join(err, u.Close())
	}
	view := driver.HostView{Info: s.host, Kernel: kernelTeller(s.config, kernels), Label: label(s.guestUser)}
	u.server = dispatch.New(driver.New(u.domains, bus, u.pools, u.networks, view, s.paths, s.log), dispatch.Options{
		MaxClients:        s.config.MaxClients,
		MaxRequests:       s.config.MaxClientRequests,
		KeepaliveInterval: keepaliveInterval(s.config),
		KeepaliveCount:    s.config.KeepaliveCount,
		ClientsChanged: func(count int) {
			u.clients.Store(int64(count))
			s.changed()
		},
		Log: s.log,
	})
	// Loading leaves garbage that a daemon with little to do would keep.
	debug.FreeOSMemory()
	return u, nil
}

// keepaliveInterval is the settings' interval as the server takes it, for
// which 0 is the default and a negative one never.
func keepaliveInterval(c config.Config) time.Duration {
	if c.KeepaliveInterval <= 0 {
		return -1
	}
	return time.Duration(c.KeepaliveInterval) * time.Second
}

// newProber makes what asks kernels. Their paths come from clients, so the
// system instance runs them as the guests' user.
func newProber(s setup) *kernel.Prober {
	if s.guestUser == nil {
		return kernel.NewProber(s.paths.CacheDir, nil)
	}
	return kernel.NewProber(s.paths.CacheDir, &kernel.User{UID: s.guestUser.UID, GID: s.guestUser.GID})
}

// defaultKernel is the path of the kernel that boots domains which name none.
func defaultKernel(c config.Config) (string, error) {
	if c.Kernel != "" {
		return c.Kernel, nil
	}
	return kernel.Find(os.Getenv("PATH"))
}

// kernelTeller tells the driver of kernels.
func kernelTeller(c config.Config, kernels *kernel.Prober) func(context.Context, string) (driver.Kernel, error) {
	return func(ctx context.Context, path string) (driver.Kernel, error) {
		if path == "" {
			var err error
			if path, err = defaultKernel(c); err != nil {
				return driver.Kernel{}, err
			}
		}
		caps, err := kernels.Probe(ctx, path)
		if err != nil {
			return driver.Kernel{}, err
		}
		v := caps.Version
		return driver.Kernel{Path: path, Major: v.Major, Minor: v.Minor, Patch: v.Patch, MaxVCPUs: caps.NrCPUs}, nil
	}
}

// label writes a user as libvirt's label of the model "dac".
func label(u *supervisor.User) string {
	if u == nil {
		return ""
	}
	return fmt.Sprintf("+%d:+%d", u.UID, u.GID)
}

// Serve answers clients, and sees guests that are started by hand.
func (u *umlInstance) Serve(ctx context.Context, sockets []sock.Socket) error {
	ctx, stop := context.WithCancel(ctx)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer stop()
	watching.Go(func() {
		found := func(umid string) { u.domains.Foreign(ctx, umid) }
		if err := u.machine.Watch(ctx, found); err != nil {
			u.log.Error("guests that are started by hand will not be seen", "err", err)
		}
	})
	listeners := make([]dispatch.Listener, len(sockets))
	for i, s := range sockets {
		listeners[i] = dispatch.Listener{Listener: s.UnixListener, ReadOnly: s.ReadOnly}
	}
	return u.server.Serve(ctx, listeners...)
}

// loadPools finds the storage pools again.
func (u *umlInstance) loadPools(ctx context.Context, p paths.Paths) (err error) {
	u.pools, err = storage.Open(storage.Config{
		ConfigDir:     p.PoolConfigDir,
		StateDir:      p.PoolStateDir,
		DefaultTarget: p.ImagesDir,
		Log:           u.log,
	})
	if err != nil {
		return err
	}
	return u.pools.Load(ctx)
}

// Autostart starts the storage pools and networks that are marked for it, and
// then the domains, which may use them.
func (u *umlInstance) Autostart(ctx context.Context) {
	if err := u.pools.Autostart(ctx); err != nil {
		u.log.Error("storage pools not started automatically", "err", err)
	}
	if err := u.networks.Autostart(ctx); err != nil {
		u.log.Error("networks not started automatically", "err", err)
	}
	u.domains.Autostart(ctx)
}

// Busy reports whether there is a client or a running guest.
func (u *umlInstance) Busy() bool { return u.clients.Load() > 0 || u.domains.Busy() }

// Close lets go of the guests, the networks, the storage pools and the store.
func (u *umlInstance) Close() error {
	if u.domains != nil {
		u.domains.Close()
	}
	err := u.store.Close()
	if u.networks != nil {
		err = errors.Join(err, u.networks.Close())
	}
	if u.pools != nil {
		err = errors.Join(err, u.pools.Close())
	}
	return err
}
