package driver

import (
	"context"
	"slices"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/domxml"
	"virtumld/internal/virerr"
)

const bothSides = libvirt.DomainAffectLive | libvirt.DomainAffectConfig

// DomainAttachDevice adds a device to the running guest.
func (c *Conn) DomainAttachDevice(ctx context.Context, a *libvirt.DomainAttachDeviceArgs) error {
	return c.attach(ctx, a.Dom, a.XML, libvirt.DomainAffectLive)
}

// DomainAttachDeviceFlags adds a device to the running guest, the config or
// both.
func (c *Conn) DomainAttachDeviceFlags(ctx context.Context, a *libvirt.DomainAttachDeviceFlagsArgs) error {
	flags := libvirt.DomainModificationImpact(a.Flags)
	if err := checkFlags(flags, bothSides, "virDomainAttachDeviceFlags"); err != nil {
		return err
	}
	return c.attach(ctx, a.Dom, a.XML, flags)
}

func (c *Conn) attach(ctx context.Context, dom libvirt.Domain, document string, flags libvirt.DomainModificationImpact) error {
	d, err := c.find(dom)
	if err != nil {
		return err
	}
	dev, err := device(document, "attached")
	if err != nil {
		return err
	}
	if dev.IsDisk() {
		return d.AttachDisk(ctx, dev, target(flags))
	}
	return d.AttachDevice(ctx, dev, target(flags))
}

// DomainDetachDevice takes a device away from the running guest.
func (c *Conn) DomainDetachDevice(ctx context.Context, a *libvirt.DomainDetachDeviceArgs) error {
	return c.detach(ctx, a.Dom, a.XML, libvirt.DomainAffectLive)
}

// DomainDetachDeviceFlags takes a device away from the running guest, the
// config or both.
func (c *Conn) DomainDetachDeviceFlags(ctx context.Context, a *libvirt.DomainDetachDeviceFlagsArgs) error {
	flags := libvirt.DomainModificationImpact(a.Flags)
	if err := checkFlags(flags, bothSides, "virDomainDetachDeviceFlags"); err != nil {
		return err
	}
	return c.detach(ctx, a.Dom, a.XML, flags)
}

func (c *Conn) detach(ctx context.Context, dom libvirt.Domain, document string, flags libvirt.DomainModificationImpact) error {
	d, err := c.find(dom)
	if err != nil {
		return err
	}
	dev, err := device(document, "detached")
	if err != nil {
		return err
	}
	if dev.IsDisk() {
		return d.DetachDisk(ctx, func(def *domxml.Definition) (domxml.Disk, error) { return def.MatchDisk(dev) }, target(flags))
	}
	return d.DetachDevice(ctx, func(def *domxml.Definition) (domxml.Interface, error) { return def.Match(dev) }, target(flags))
}

// DomainDetachDeviceAlias takes the device of an alias away.
func (c *Conn) DomainDetachDeviceAlias(ctx context.Context, a *libvirt.DomainDetachDeviceAliasArgs) error {
	flags := libvirt.DomainModificationImpact(a.Flags)
	if err := checkFlags(flags, bothSides, "virDomainDetachDeviceAlias"); err != nil {
		return err
	}
	d, err := c.find(a.Dom)
	if err != nil {
		return err
	}
	if side, err := target(flags).Pick(d.View()); err == nil {
		if _, found := side.DiskByAlias(a.Alias); found {
			return d.DetachDisk(ctx, diskByAlias(a.Alias), target(flags))
		}
	}
	find := func(def *domxml.Definition) (domxml.Interface, error) {
		if kind := otherDevice(def, a.Alias); kind != "" {
			return domxml.Interface{}, errDevice(kind, "detached")
		}
		return def.ByAlias(a.Alias)
	}
	return d.DetachDevice(ctx, find, target(flags))
}

func diskByAlias(alias string) func(*domxml.Definition) (domxml.Disk, error) {
	return func(def *domxml.Definition) (domxml.Disk, error) {
		disk, found := def.DiskByAlias(alias)
		if !found {
			return disk, virerr.New(libvirt.ErrDeviceMissing, "no device found with alias '%s'", alias)
		}
		return disk, nil
	}
}

// DomainUpdateDeviceFlags changes a device of the running guest, the config or
// both.
func (c *Conn) DomainUpdateDeviceFlags(ctx context.Context, a *libvirt.DomainUpdateDeviceFlagsArgs) error {
	const known = libvirt.DomainDeviceModifyLive | libvirt.DomainDeviceModifyConfig | libvirt.DomainDeviceModifyForce
	if err := checkFlags(a.Flags, known, "virDomainUpdateDeviceFlags"); err != nil {
		return err
	}
	d, err := c.find(a.Dom)
	if err != nil {
		return err
	}
	dev, err := device(a.XML, "changed")
	if err != nil {
		return err
	}
	sides := target(libvirt.DomainModificationImpact(a.Flags &^ libvirt.DomainDeviceModifyForce))
	if dev.IsDisk() {
		return d.UpdateDisk(ctx, dev, sides)
	}
	return d.UpdateDevice(ctx, dev, sides)
}

// devices are libvirt's elements of <devices> (src/conf/domain_conf.c,
// virDomainDevice).
var devices = []string{
	"disk", "lease", "filesystem", "interface", "input", "sound", "video", "hostdev", "watchdog", "controller",
	"graphics", "hub", "redirdev", "smartcard", "parallel", "serial", "console", "channel", "memballoon", "nvram",
	"rng", "shmem", "tpm", "panic", "memory", "iommu", "vsock", "audio", "crypto", "pstore",
}

// device reads the document of a device that is to be done something with.
func device(document, done string) (*domxml.Device, error) {
	dev, err := domxml.ParseDevice([]byte(document))
	switch {
	case err != nil:
		return nil, err
	case dev.Kind == "interface", dev.IsDisk():
		return dev, nil
	case slices.Contains(devices, dev.Kind):
		return nil, errDevice(dev.Kind, done)
	}
	return nil, virerr.In(virerr.XML, libvirt.ErrXMLError, "unknown device type '%s'", dev.Kind)
}

func errDevice(kind, done string) error {
	return virerr.New(libvirt.ErrOperationUnsupported,
		"a <%s> of a User Mode Linux guest cannot be %s yet; change the definition instead (virsh edit)", kind, done)
}

// otherDevice is the kind of the device with that alias that is neither an
// interface nor a disk, or "".
func otherDevice(def *domxml.Definition, alias string) string {
	for _, f := range def.Filesystems {
		if f.Alias == alias {
			return "filesystem"
		}
	}
	for _, line := range def.Chardevs {
		switch {
		case line.Alias != alias:
		case line.Serial:
			return "serial"
		default:
			return "console"
		}
	}
	return ""
}
