package config

import (
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// A key is one setting that the file may hold.
type key struct {
	name string
	kind kind
	set  func(*Config, value) error
}

// keys are all settings, in the order of the example file. Where libvirtd.conf
// or qemu.conf has the setting, name and meaning are theirs.
var keys = []key{
	text("unix_sock_group", func(c *Config) *string { return &c.SocketGroup }),
	perms("unix_sock_ro_perms", func(c *Config) *fs.FileMode { return &c.ReadOnlyPerms }),
	perms("unix_sock_rw_perms", func(c *Config) *fs.FileMode { return &c.ReadWritePerms }),
	path("unix_sock_dir", func(c *Config) *string { return &c.SocketDir }),
	number("max_clients", 1, 1<<20, func(c *Config) *int { return &c.MaxClients }),
	number("max_client_requests", 1, 1<<16, func(c *Config) *int { return &c.MaxClientRequests }),
	number("keepalive_interval", -1, 1<<20, func(c *Config) *int { return &c.KeepaliveInterval }),
	number("keepalive_count", 1, 1<<20, func(c *Config) *int { return &c.KeepaliveCount }),
	{"log_level", kindNumber, setLogLevel},
	{"host_uuid", kindString, setHostUUID},
	{"host_uuid_source", kindString, setHostUUIDSource},
	text("user", func(c *Config) *string { return &c.User }),
	text("group", func(c *Config) *string { return &c.Group }),
	{"dynamic_ownership", kindNumber, setDynamicOwnership},
	path("kernel", func(c *Config) *string { return &c.Kernel }),
	{"contain", kindString, setContain},
}

// Keys lists the names of all settings.
func Keys() []string {
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = k.name
	}
	return names
}

func findKey(name string) (key, bool) {
	i := slices.IndexFunc(keys, func(k key) bool { return k.name == name })
	if i < 0 {
		return key{}, false
	}
	return keys[i], true
}

func text(name string, field func(*Config) *string) key {
	return key{name, kindString, func(c *Config, v value) error {
		*field(c) = v.text
		return nil
	}}
}

func path(name string, field func(*Config) *string) key {
	return key{name, kindString, func(c *Config, v value) error {
		if !filepath.IsAbs(v.text) {
			return fmt.Errorf("%q is not an absolute path", v.text)
		}
		*field(c) = filepath.Clean(v.text)
		return nil
	}}
}

func number(name string, low, high int64, field func(*Config) *int) key {
	return key{name, kindNumber, func(c *Config, v value) error {
		if v.number < low || v.number > high {
			return fmt.Errorf("%d is not between %d and %d", v.number, low, high)
		}
		*field(c) = int(v.number)
		return nil
	}}
}

func perms(name string, field func(*Config) *fs.FileMode) key {
	return key{name, kindString, func(c *Config, v value) error {
		n, err := strconv.ParseUint(v.text, 8, 32)
		if err != nil || n > 0o777 {
			return fmt.Errorf(`%q is not a mode between "0000" and "0777"`, v.text)
		}
		*field(c) = fs.FileMode(n)
		return nil
	}}
}

func setLogLevel(c *Config, v value) error {
	level, err := ParseLevel(strconv.FormatInt(v.number, 10))
	c.LogLevel = level
	return err
}

// ParseLevel reads a log level: libvirt's 1 to 4, or debug, info, warning,
// error.
func ParseLevel(text string) (slog.Level, error) {
	switch strings.ToLower(text) {
	case "1", "debug":
		return slog.LevelDebug, nil
	case "2", "info":
		return slog.LevelInfo, nil
	case "3", "warning", "warn":
		return slog.LevelWarn, nil
	case "4", "error":
		return slog.LevelError, nil
	default:
		return 0, fmt.Errorf("%q is not a log level: 1 (debug), 2 (info), 3 (warning) or 4 (error)", text)
	}
}

func setHostUUID(c *Config, v value) error {
	id, err := uuid.Parse(v.text)
	if err != nil {
		return fmt.Errorf("%q is not a uuid", v.text)
	}
	if bytes := id[:]; len(slices.Compact(slices.Clone(bytes))) == 1 {
		return fmt.Errorf("%s is no identity: all its digits are the same", id)
	}
	c.HostUUID = id
	return nil
}

func setHostUUIDSource(c *Config, v value) error {
	switch v.text {
	case "smbios", "machine-id":
		c.HostUUIDFromMachineID = v.text == "machine-id"
		return nil
	default:
		return fmt.Errorf(`%q is neither "smbios" nor "machine-id"`, v.text)
	}
}

func setDynamicOwnership(c *Config, v value) error {
	if v.number != 0 && v.number != 1 {
		return fmt.Errorf("%d is neither 0 nor 1", v.number)
	}
	c.DynamicOwnership = v.number == 1
	return nil
}

func setContain(c *Config, v value) error {
	switch Contain(v.text) {
	case ContainAuto, ContainOff:
		c.Contain = Contain(v.text)
		return nil
	default:
		return fmt.Errorf("%q is neither %q nor %q", v.text, ContainAuto, ContainOff)
	}
}
