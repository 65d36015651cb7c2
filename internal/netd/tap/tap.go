package tap

import (
	"errors"
	"os"

	libvirt "github.com/digitalocean/go-libvirt"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"virtumld/internal/virerr"
)

const (
	tunDevice = "/dev/net/tun"
	// tapName and macvtapName are libvirt's, where none is given.
	tapName     = "vnet%d"
	macvtapName = "macvtap%d"
)

// Open opens the device and returns it with its name. Each Read takes one
// frame, each Write sends one; a Write that would have to wait fails. Close
// ends a Read that waits and removes what Open has made. The error is a
// *virerr.Error.
//
// A tap that Open has made goes with its process. A macvtap does not: what is
// left of a process that was killed is removed by the next Open of a macvtap.
func Open(cfg Config) (Device, string, error) {
	var d *device
	var err error
	switch {
	case cfg.Keep:
		d, err = openKept(cfg)
	case cfg.Direct != "":
		d, err = openMacvtap(cfg)
	case cfg.Bridge != "" && !mayAdminister() && bridgeHelper() != "":
		d, err = openByHelper(cfg, bridgeHelper())
	default:
		d, err = openTap(cfg)
	}
	if err != nil {
		return nil, "", err
	}
	return d, d.name, nil
}

// setFlags sets a device up or down.
func setFlags(name string, up bool) error {
	link, err := netlink.LinkByName(name)
	if err == nil && up {
		err = netlink.LinkSetUp(link)
	} else if err == nil {
		err = netlink.LinkSetDown(link)
	}
	if err != nil {
		return failed(err, "Cannot set interface flags on '%s'", name)
	}
	return nil
}

// openTap makes a tap and sets it up.
func openTap(cfg Config) (*device, error) {
	if cfg.Name == "" {
		cfg.Name = tapName
	}
	mac, err := tapMAC(cfg.MAC)
	if err != nil {
		return nil, err
	}
	fd, name, err := makeTap(cfg.Name)
	if err != nil {
		return nil, err
	}
	if err := setUp(name, mac, cfg); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return newTap(fd, name, cfg)
}

// makeTap makes a tap, or attaches to one that is there and free.
func makeTap(pattern string) (fd int, name string, err error) {
	fd, err = unix.Open(tunDevice, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1, "", failed(err, "Unable to open %s, is tun module loaded?", tunDevice)
	}
	name, err = attach(fd, pattern)
	if err != nil {
		err = failed(err, "Unable to create tap device %s", pattern)
		return -1, "", errors.Join(err, unix.Close(fd))
	}
	return fd, name, nil
}

// attach makes fd that device: whole frames without anything before them.
func attach(fd int, name string) (string, error) {
	request, err := unix.NewIfreq(name)
	if err != nil {
		return "", err
	}
	request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		return "", err
	}
	return request.Name(), nil
}

// setUp gives a new tap its address, MTU, bridge and state, in libvirt's order.
func setUp(name string, mac []byte, cfg Config) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return failed(err, "Unable to create tap device %s", name)
	}
	if mac != nil {
		if err := netlink.LinkSetHardwareAddr(link, mac); err != nil {
			return failed(err, "Cannot set interface MAC to %s on '%s'", cfg.MAC, name)
		}
	}
	if cfg.MTU > 0 {
		if err := setMTU(link, cfg.MTU); err != nil {
			return err
		}
	}
	if cfg.Bridge != "" {
		if err := joinBridge(link, cfg); err != nil {
			return err
		}
	}
	return setFlags(name, true)
}

func setMTU(link netlink.Link, mtu int) error {
	if err := netlink.LinkSetMTU(link, mtu); err != nil {
		return failed(err, "Cannot set interface MTU on '%s'", link.Attrs().Name)
	}
	return nil
}

// openKept opens a tap or macvtap that somebody else has made.
func openKept(cfg Config) (*device, error) {
	link, err := netlink.LinkByName(cfg.Name)
	if err != nil {
		return nil, virerr.In(virerr.None, libvirt.ErrConfigUnsupported,
			"target managed='no' but specified dev '%s' doesn't exist; an administrator can make it: %s", cfg.Name, addCommand(cfg.Name))
	}
	if link.Type() == "macvtap" {
		return attachMacvtap(link, nil)
	}
	fd, name, err := makeTap(cfg.Name)
	if err != nil {
		return nil, err
	}
	return newTap(fd, name, cfg)
}

// mayAdminister reports whether the process may make network devices.
func mayAdminister() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return os.Geteuid() == 0
	}
	return data[0].Effective&(1<<unix.CAP_NET_ADMIN) != 0
}
