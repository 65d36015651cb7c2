// Package uml runs domains as User Mode Linux guests: it asks the kernel
// binary what it can do, makes its command line, has a supervisor run it, and
// talks to it over mconsole. It implements domain.Machine and knows nothing of
// libvirt's clients.
package uml

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"slices"
	"sync"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/domain"
	"virtumld/internal/domxml"
	"virtumld/internal/paths"
	"virtumld/internal/supervisor"
	"virtumld/internal/uml/cmdline"
	"virtumld/internal/uml/kernel"
	"virtumld/internal/virerr"
)

// Config is what a Machine needs to know of its instance.
type Config struct {
	Paths paths.Paths
	// Executable is the binary that supervisors run: the daemon's own.
	Executable string
	// Kernels probes kernel binaries; DefaultKernel is the path of the one
	// that boots domains which name none.
	Kernels       *kernel.Prober
	DefaultKernel func() (string, error)
	// User is the unprivileged user of the guests' processes; nil leaves
	// them the daemon's.
	User *supervisor.User
	// KeepOwners leaves the disks' owners as they are.
	KeepOwners bool
	// Contain asks for namespaces around every guest.
	Contain bool
	// Volumes finds the disks that are volumes of storage pools.
	Volumes Volumes
	// Networks are the virtual networks; nil for none.
	Networks Networks
	Log      *slog.Logger
}

// Machine starts and finds the guests of one instance.
type Machine struct {
	Config
	// guests has the running guests that have a supervisor, by uuid.
	guests sync.Map // string to *guest
}

// New makes a Machine.
func New(c Config) *Machine { return &Machine{Config: c} }

// Check refuses what def's kernel cannot do. A kernel that cannot be asked is
// no reason to refuse a definition: it may be there when the domain starts.
func (m *Machine) Check(ctx context.Context, def *domxml.Definition) error {
	caps, err := m.probe(ctx, def)
	if err != nil {
		return nil
	}
	return cmdline.Check(def, caps)
}

// probe asks def's kernel, or the host's default one, what it can do.
func (m *Machine) probe(ctx context.Context, def *domxml.Definition) (*kernel.Caps, error) {
	path := def.OS.Kernel
	if path == "" {
		var err error
		if path, err = m.DefaultKernel(); err != nil {
			return nil, err
		}
	}
	return m.Kernels.Probe(ctx, path)
}

// plan is everything of a start that needs no guest. backing is where the COW
// disks expect their backing files, by unit. devices are what the kernel is
// told of the interfaces.
func (m *Machine) plan(def *domxml.Definition, caps *kernel.Caps, backing map[int]string) (spec *supervisor.Spec, devices []string, err error) {
	umid := m.UMID(def)
	line, err := cmdline.Build(def, caps, cmdline.Options{UMID: umid, Backing: backing})
	if err != nil {
		return nil, nil, err
	}
	id := def.UUID.String()
	return &supervisor.Spec{
		Name:       def.Name,
		UUID:       id,
		UMID:       umid,
		Dir:        m.Paths.Guest(id),
		UMLDir:     m.Paths.UMLDir,
		Owners:     m.Paths.Owners(),
		Kernel:     caps.Path,
		Libraries:  caps.Libraries,
		NoMconsole: !caps.Mconsole,
		Args:       line.Args,
		Files:      m.owned(line.Files),
		Disks:      m.ownedDisks(line.Disks),
		Channels:   line.Channels,
		Virtio:     line.Virtio,
		ShmBytes:   shmBytes(def),
		User:       m.User,
		Contain:    m.Contain,
		LogFile:    m.Paths.GuestLog(def.Name),
		OnPoweroff: def.OnPoweroff,
		OnReboot:   def.OnReboot,
		OnCrash:    def.OnCrash,
	}, line.Devices, nil
}

// owned leaves the files' owners alone when the settings say so.
func (m *Machine) owned(files []supervisor.File) []supervisor.File {
	if !m.KeepOwners {
		return files
	}
	files = slices.Clone(files)
	for i := range files {
		files[i].Own = false
	}
	return files
}

func (m *Machine) ownedDisks(disks []supervisor.Disk) []supervisor.Disk {
	for i := range disks {
		disks[i].Files = m.owned(disks[i].Files)
	}
	return disks
}

// shmBytes is the room that a guest's memory takes: what the kernel is given,
// with some to spare for what else it keeps there. Only what the guest touches
// is ever used.
func shmBytes(def *domxml.Definition) int64 {
	const spare = 64 << 20
	return int64(def.MaxMemory)<<10 + spare
}

// Start boots def under a new supervisor.
func (m *Machine) Start(ctx context.Context, def *domxml.Definition, opts domain.StartOptions) (domain.Guest, error) {
	caps, err := m.probe(ctx, def)
	if err != nil {
		return nil, err
	}
	resolved, err := m.resolve(ctx, def)
	if err != nil {
		return nil, err
	}
	disks, err := prepareDisks(resolved.Disks)
	if err != nil {
		return nil, err
	}
	guest, err := m.boot(ctx, resolved, caps, disks.backing, opts)
	if err != nil {
		return nil, errors.Join(err, disks.discard())
	}
	return guest, nil
}

// boot starts a guest whose disks are ready.
func (m *Machine) boot(ctx context.Context, def *domxml.Definition, caps *kernel.Caps, backing map[int]string, opts domain.StartOptions) (domain.Guest, error) {
	def = withOwnInterfaces(def)
	joints, err := m.joinAll(ctx, def.Interfaces)
	if err != nil {
		return nil, err
	}
	spec, devices, err := m.plan(def, caps, backing)
	if err != nil {
		return nil, err
	}
	for i, n := range def.Interfaces {
		if n.Type == domxml.InterfaceVHostUser {
			continue // its kernel connects by itself
		}
		plugging, err := m.plugging(ctx, ownerOf(def), n, joints[i], devices[i])
		if err != nil {
			return nil, err
		}
		spec.Interfaces = append(spec.Interfaces, plugging)
	}
	spec.Paused = opts.Paused
	handle, err := supervisor.Start(ctx, m.Executable, spec)
	if err != nil {
		return nil, err
	}
	if !opts.Paused {
		if err := m.awaitReady(ctx, handle); err != nil {
			return nil, err
		}
	}
	return m.newGuest(handle, caps.Path, def), nil
}

// awaitReady returns when the kernel has said that it is ready. A guest that
// ends before, or that ctx gives up, is cleaned up.
func (m *Machine) awaitReady(ctx context.Context, handle *supervisor.Handle) error {
	for {
		select {
		case e, open := <-handle.Events():
			switch {
			case !open:
				return virerr.In(virerr.UML, libvirt.ErrInternalError, "lost the guest's supervisor while the guest was starting")
			case e.Type == supervisor.Ready:
				return nil
			case e.Type == supervisor.Exited:
				return virerr.In(virerr.UML, libvirt.ErrInternalError,
					"the guest's kernel ended before it was ready: %s", e.Exit.Text)
			}
		case <-ctx.Done():
			return m.giveUp(ctx, handle)
		}
	}
}

func (m *Machine) giveUp(ctx context.Context, handle *supervisor.Handle) error {
	kill, cancel := context.WithTimeout(context.WithoutCancel(ctx), killLimit)
	defer cancel()
	if err := handle.Kill(kill); err != nil {
		m.Log.Error("cannot end a guest that did not start", "err", err)
	}
	if context.Cause(ctx) == context.DeadlineExceeded {
		return virerr.New(libvirt.ErrOperationTimeout, "the guest's kernel did not get ready in time")
	}
	return virerr.New(libvirt.ErrOperationAborted, "the start was given up: the domain was destroyed")
}

// Adopt finds the guest that an earlier daemon started for def, or one that
// was started by hand and that the earlier daemon had seen.
func (m *Machine) Adopt(ctx context.Context, def *domxml.Definition) (domain.Guest, *domain.Exit, error) {
	handle, exit, err := supervisor.Adopt(ctx, m.Paths.Guest(def.UUID.String()))
	if errors.Is(err, fs.ErrNotExist) {
		return m.adoptForeign(ctx, def)
	}
	if err != nil {
		return nil, nil, err
	}
	if exit != nil {
		return nil, asExit(exit), nil
	}
	return m.newGuest(handle, m.kernelOf(def), def), nil, nil
}

// adoptForeign is Adopt for a guest that no supervisor of ours was made for.
func (m *Machine) adoptForeign(ctx context.Context, def *domxml.Definition) (domain.Guest, *domain.Exit, error) {
	guest, err := m.Foreign(ctx, def)
	switch {
	case err == nil:
		return guest, nil, nil
	case ctx.Err() != nil:
		return nil, nil, err
	default:
		return nil, &domain.Exit{Cause: domain.CauseFailed, Text: "the guest is gone: " + err.Error()}, nil
	}
}

// kernelOf is the path of the kernel that def's guest was started with.
func (m *Machine) kernelOf(def *domxml.Definition) string {
	if def.OS.Kernel != "" {
		return def.OS.Kernel
	}
	path, err := m.DefaultKernel()
	if err != nil {
		return ""
	}
	return path
}

// Forget removes the folder of def's ended guest.
func (m *Machine) Forget(def *domxml.Definition) error {
	return supervisor.Forget(m.Paths.Guest(def.UUID.String()))
}

func asExit(e *supervisor.Exit) *domain.Exit {
	return &domain.Exit{Cause: domain.Cause(e.Cause), ByHost: e.ByHost, Text: e.Text}
}
