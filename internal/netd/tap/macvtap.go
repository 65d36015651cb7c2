package tap

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// maxNumber is how many devices of one name pattern there can be.
const maxNumber = 8192

// modes are the modes of <source mode='…'>; vepa is libvirt's default.
var modes = map[string]netlink.MacvlanMode{
	"":         netlink.MACVLAN_MODE_VEPA,
	"vepa":     netlink.MACVLAN_MODE_VEPA,
	"bridge":   netlink.MACVLAN_MODE_BRIDGE,
	"private":  netlink.MACVLAN_MODE_PRIVATE,
	"passthru": netlink.MACVLAN_MODE_PASSTHRU,
}

// openMacvtap makes a macvtap on the lower device.
func openMacvtap(cfg Config) (*device, error) {
	RemoveLeftovers()
	link, err := addMacvtap(cfg)
	if err != nil {
		return nil, err
	}
	remove := func() error { return removeLink(link) }
	if err := mark(link); err != nil {
		return nil, errors.Join(err, remove())
	}
	if err := setFlags(link.Attrs().Name, !cfg.Down); err != nil {
		return nil, errors.Join(err, remove())
	}
	d, err := attachMacvtap(link, remove)
	if err == nil {
		d.setLink = func(up bool) error { return setFlags(d.name, up) }
	}
	return d, err
}

// mark says whose the device is, for removeLeftovers.
func mark(link netlink.Link) error {
	alias, err := ownAlias()
	if err == nil {
		err = netlink.LinkSetAlias(link, alias)
	}
	if err != nil {
		return failed(err, "cannot mark the device %s", link.Attrs().Name)
	}
	return nil
}

func addMacvtap(cfg Config) (netlink.Link, error) {
	mode, ok := modes[cfg.Mode]
	if !ok {
		return nil, unsupported("the mode '%s' of a macvtap is not vepa, bridge, private or passthru", cfg.Mode)
	}
	if cfg.hasVLANs() {
		return nil, unsupported("a macvtap on %s cannot be given a VLAN; use a bridge, or a VLAN device of the host", cfg.Direct)
	}
	lower, err := netlink.LinkByName(cfg.Direct)
	if err != nil {
		return nil, failed(err, "Unable to get index for interface %s", cfg.Direct)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.ParentIndex, attrs.MTU = lower.Attrs().Index, cfg.MTU
	if cfg.MAC != "" {
		if attrs.HardwareAddr, err = net.ParseMAC(cfg.MAC); err != nil {
			return nil, unsupported("'%s' is not the MAC address of a network card", cfg.MAC)
		}
	}
	pattern := cfg.Name
	if pattern == "" {
		pattern = macvtapName
	}
	name, err := addNumbered(pattern, func(name string) error {
		attrs.Name = name
		return netlink.LinkAdd(&netlink.Macvtap{Macvlan: netlink.Macvlan{LinkAttrs: attrs, Mode: mode}})
	})
	if err != nil {
		return nil, failed(err, "error creating macvtap interface %s@%s (%s)", pattern, cfg.Direct, cfg.MAC)
	}
	link, err := netlink.LinkByName(name)
	if err != nil {
		return nil, failed(err, "error creating macvtap interface %s@%s (%s)", name, cfg.Direct, cfg.MAC)
	}
	return link, nil
}

// addNumbered adds a device under the first number that is free.
func addNumbered(pattern string, add func(name string) error) (string, error) {
	before, after, numbered := strings.Cut(pattern, "%d")
	if !numbered {
		return pattern, add(pattern)
	}
	for i := range maxNumber {
		name := fmt.Sprint(before, i, after)
		if err := add(name); !errors.Is(err, unix.EEXIST) {
			return name, err
		}
	}
	return "", unix.EEXIST
}

// attachMacvtap opens the character device of a macvtap. When that fails the
// macvtap is removed by remove, which may be nil.
func attachMacvtap(link netlink.Link, remove func() error) (*device, error) {
	d, err := openCharacter(link)
	if err != nil {
		if remove != nil {
			err = errors.Join(err, remove())
		}
		return nil, err
	}
	d.remove = remove
	return d, nil
}

func openCharacter(link netlink.Link) (*device, error) {
	name, path := link.Attrs().Name, fmt.Sprintf("/dev/tap%d", link.Attrs().Index)
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, failed(err, "cannot open macvtap tap device %s", path)
	}
	if _, err := attach(fd, name); err != nil {
		return nil, errors.Join(failed(err, "Unable to set flags on macvtap tap device %s", path), unix.Close(fd))
	}
	return newDevice(fd, name)
}

// removeLink removes the device, if it is still the same and not gone already.
func removeLink(link netlink.Link) error {
	err := netlink.LinkDel(link)
	if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EINVAL) {
		if _, missing := netlink.LinkByIndex(link.Attrs().Index); missing != nil {
			return nil
		}
	}
	if err != nil {
		return failed(err, "cannot remove the device %s", link.Attrs().Name)
	}
	return nil
}
