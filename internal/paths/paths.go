// Package paths says where each file of an instance lives: libvirt's own
// layout for a system daemon and for a session daemon. It only computes
// names; it makes nothing.
package paths

import (
	"os"
	"path/filepath"
)

// Paths are the places of one instance.
type Paths struct {
	// System tells the system instance from a session one.
	System bool
	// SocketDir holds virtumld-sock and, for the system, virtumld-sock-ro.
	SocketDir string
	// ConfigDir holds NAME.xml and autostart/.
	ConfigDir string
	// StateDir holds the live status NAME.xml and the guests' own folders.
	StateDir string
	// PoolConfigDir holds the definitions of storage pools.
	PoolConfigDir string
	// PoolStateDir holds what tells the active storage pools.
	PoolStateDir string
	// ImagesDir is the folder of the storage pool "default".
	ImagesDir string
	// NetworkConfigDir holds the definitions of virtual networks.
	NetworkConfigDir string
	// NetworkStateDir holds what tells the active networks, and the folders
	// of their processes.
	NetworkStateDir string
	// NetworkLeaseDir holds the DHCP leases of networks.
	NetworkLeaseDir string
	// LogDir holds NAME.log.
	LogDir string
	// UMLDir is the uml_dir that uml_mconsole looks into.
	UMLDir string
	// CacheDir holds what can be made again: kernel probes.
	CacheDir string
	// ConfFile is virtumld.conf.
	ConfFile string
	// PIDFile is the daemon's pid and lock file.
	PIDFile string
}

// System returns the system instance's places under root ("/" but in tests).
func System(root string) Paths {
	run := filepath.Join(root, "run/libvirt")
	return Paths{
		System:           true,
		SocketDir:        run,
		ConfigDir:        filepath.Join(root, "etc/libvirt/uml"),
		StateDir:         filepath.Join(run, "uml"),
		PoolConfigDir:    filepath.Join(root, "etc/libvirt/uml/storage"),
		PoolStateDir:     filepath.Join(run, "uml/storage"),
		ImagesDir:        filepath.Join(root, "var/lib/libvirt/images"),
		NetworkConfigDir: filepath.Join(root, "etc/libvirt/uml/networks"),
		NetworkStateDir:  filepath.Join(run, "uml/networks"),
		NetworkLeaseDir:  filepath.Join(root, "var/lib/libvirt/uml/networks"),
		LogDir:           filepath.Join(root, "var/log/libvirt/uml"),
		UMLDir:           filepath.Join(run, "uml-guest"),
		CacheDir:         filepath.Join(root, "var/cache/libvirt/uml"),
		ConfFile:         filepath.Join(root, "etc/libvirt/virtumld.conf"),
		PIDFile:          filepath.Join(root, "run/virtumld.pid"),
	}
}

// Session returns an ordinary user's places, from HOME and the XDG variables
// of getenv as libvirt's client reads them (src/util/virutil.c).
func Session(getenv func(string) string) Paths {
	home := getenv("HOME")
	config := orElse(getenv("XDG_CONFIG_HOME"), filepath.Join(home, ".config"))
	cache := orElse(getenv("XDG_CACHE_HOME"), filepath.Join(home, ".cache"))
	data := orElse(getenv("XDG_DATA_HOME"), filepath.Join(home, ".local/share"))
	run := orElse(getenv("XDG_RUNTIME_DIR"), cache)
	rundir := filepath.Join(run, "libvirt")
	return Paths{
		SocketDir:        rundir,
		ConfigDir:        filepath.Join(config, "libvirt/uml"),
		StateDir:         filepath.Join(rundir, "uml/run"),
		PoolConfigDir:    filepath.Join(config, "libvirt/uml/storage"),
		PoolStateDir:     filepath.Join(rundir, "uml/storage"),
		ImagesDir:        filepath.Join(data, "libvirt/images"),
		NetworkConfigDir: filepath.Join(config, "libvirt/uml/networks"),
		NetworkStateDir:  filepath.Join(rundir, "uml/networks"),
		NetworkLeaseDir:  filepath.Join(data, "libvirt/uml/networks"),
		LogDir:           filepath.Join(cache, "libvirt/uml/log"),
		UMLDir:           filepath.Join(home, ".uml"),
		CacheDir:         filepath.Join(cache, "libvirt/uml"),
		ConfFile:         filepath.Join(config, "libvirt/virtumld.conf"),
		PIDFile:          filepath.Join(rundir, "virtumld.pid"),
	}
}

// ForThisProcess picks the instance by the effective uid.
func ForThisProcess(root string) Paths {
	if os.Geteuid() == 0 {
		return System(root)
	}
	return Session(os.Getenv)
}

// Socket is the read-write socket's path.
func (p Paths) Socket() string { return filepath.Join(p.SocketDir, "virtumld-sock") }

// ReadOnlySocket is the read-only socket's path; only the system has one.
func (p Paths) ReadOnlySocket() string { return filepath.Join(p.SocketDir, "virtumld-sock-ro") }

// Guest is the folder of one guest's supervisor, by the domain's uuid.
func (p Paths) Guest(uuid string) string { return filepath.Join(p.StateDir, "guests", uuid) }

func orElse(value, fallback string) string {
	if value != "" {
		return value
	}
	return fallback
}

// GuestLog is a domain's log.
func (p Paths) GuestLog(name string) string { return filepath.Join(p.LogDir, name+".log") }

// Owners is the record of files given to the guests' user.
func (p Paths) Owners() string { return filepath.Join(p.StateDir, "owners") }

// Live returns the places of what runs, of the instance whose socket it is:
// SocketDir, StateDir, PoolStateDir and NetworkStateDir are set.
func Live(socket string, system bool) Paths {
	dir := filepath.Dir(socket)
	p := Paths{
		System: system, SocketDir: dir, StateDir: filepath.Join(dir, "uml"),
		PoolStateDir: filepath.Join(dir, "uml/storage"), NetworkStateDir: filepath.Join(dir, "uml/networks"),
	}
	if !system {
		p.StateDir = filepath.Join(p.StateDir, "run")
	}
	return p
}

// Network is the folder of a virtual network's process, by the network's uuid.
func (p Paths) Network(uuid string) string { return filepath.Join(p.NetworkStateDir, uuid) }

// PrivateNetwork is the folder of the process of an interface that shares its
// network with nobody, by the domain's uuid and the interface's name (vecN).
func (p Paths) PrivateNetwork(uuid, name string) string {
	return filepath.Join(p.Guest(uuid), "net-"+name)
}
