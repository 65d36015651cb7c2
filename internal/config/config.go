// Package config reads virtumld.conf, the daemon's settings, which is written
// in libvirtd.conf's syntax. It only reads: what a setting does is decided
// where it is used.
package config

import (
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"github.com/google/uuid"
)

// Config is the daemon's settings. Make it with Default or Load.
type Config struct {
	// SocketGroup owns the system instance's sockets; empty for "libvirt"
	// where that group exists.
	SocketGroup string
	// ReadOnlyPerms and ReadWritePerms are the modes of the system
	// instance's sockets.
	ReadOnlyPerms, ReadWritePerms fs.FileMode
	// SocketDir is the folder of the sockets; empty for libvirt's own.
	SocketDir string

	// MaxClients is how many clients may be connected at a time.
	MaxClients int
	// MaxClientRequests is how many calls of one client run at a time.
	MaxClientRequests int
	// KeepaliveInterval is after how many silent seconds a client is asked
	// for a sign of life, -1 for never. KeepaliveCount is how many such
	// questions may go unanswered.
	KeepaliveInterval, KeepaliveCount int

	// LogLevel is the least important level that is logged.
	LogLevel slog.Level

	// HostUUID, unless zero, is what the daemon says is the host's uuid.
	HostUUID uuid.UUID
	// HostUUIDFromMachineID prefers /etc/machine-id to the firmware's uuid.
	HostUUIDFromMachineID bool

	// User and Group are whom the system instance's guests run as: a name,
	// or a number with or without "+". Empty for the default.
	User, Group string
	// DynamicOwnership gives a guest's disks to User and Group for the
	// guest's life.
	DynamicOwnership bool

	// Kernel boots domains that name none; empty for the host's linux.uml.
	Kernel string
	// Contain says whether guests are shut off from the host.
	Contain Contain
}

// Contain says whether a guest runs in namespaces of its own.
type Contain string

// The choices of containment.
const (
	// ContainAuto contains guests where the host can, and warns where not.
	ContainAuto Contain = "auto"
	// ContainOff runs guests without namespaces.
	ContainOff Contain = "off"
)

// Default is the settings of a daemon without a file.
//
// The read-write socket is not open to everybody as libvirtd's may be where
// polkit guards it: whoever may write to a system instance's socket is root.
func Default() Config {
	return Config{
		ReadOnlyPerms:     0o777,
		ReadWritePerms:    0o770,
		MaxClients:        5000,
		MaxClientRequests: 5,
		KeepaliveInterval: 5,
		KeepaliveCount:    5,
		LogLevel:          slog.LevelWarn,
		DynamicOwnership:  true,
		Contain:           ContainAuto,
	}
}

// Load reads the file at path over the defaults. The warnings name keys that
// have no effect. Errors name file, line and key.
func Load(path string) (Config, []string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Config{}, nil, fmt.Errorf("cannot read the daemon's settings: %w", err)
	}
	c, warnings, err := Parse(string(data))
	if err != nil {
		return Config{}, nil, fmt.Errorf("%s: %w", path, err)
	}
	for i := range warnings {
		warnings[i] = path + ": " + warnings[i]
	}
	return c, warnings, nil
}

// Parse reads a file's text over the defaults.
func Parse(text string) (Config, []string, error) {
	settings, err := parse(text)
	if err != nil {
		return Config{}, nil, err
	}
	c := Default()
	var warnings []string
	seen := map[string]int{}
	for _, s := range settings {
		if first, twice := seen[s.key]; twice {
			return Config{}, nil, fmt.Errorf("line %d: %s is set twice, first on line %d", s.line, s.key, first)
		}
		seen[s.key] = s.line
		k, known := findKey(s.key)
		if !known {
			warnings = append(warnings, fmt.Sprintf("line %d: %s is no setting of virtumld and has no effect", s.line, s.key))
			continue
		}
		if s.value.kind != k.kind {
			return Config{}, nil, fmt.Errorf("line %d: %s needs %s, not %s", s.line, s.key, k.kind, s.value.kind)
		}
		if err := k.set(&c, s.value); err != nil {
			return Config{}, nil, fmt.Errorf("line %d: %s: %w", s.line, s.key, err)
		}
	}
	return c, warnings, nil
}
