package driver

import (
	"context"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/domain"
	"virtumld/internal/domxml"
	"virtumld/internal/virerr"
)

// createFlags are the flags of every kind of start. Bypassing the cache,
// forcing a boot and resetting the NVRAM have nothing to act on here.
const createFlags = libvirt.DomainStartPaused | libvirt.DomainStartAutodestroy |
	libvirt.DomainStartBypassCache | libvirt.DomainStartForceBoot |
	libvirt.DomainStartValidate | libvirt.DomainStartResetNvram

func (c *Conn) runOptions(flags libvirt.DomainCreateFlags) domain.RunOptions {
	opts := domain.RunOptions{}
	opts.Paused = flags&libvirt.DomainStartPaused != 0
	if flags&libvirt.DomainStartAutodestroy != 0 {
		opts.Owner = c
	}
	return opts
}

// DomainCreateXML starts a domain from a document.
func (c *Conn) DomainCreateXML(ctx context.Context, a *libvirt.DomainCreateXMLArgs) (*libvirt.DomainCreateXMLRet, error) {
	if err := checkFlags(a.Flags, createFlags, "virDomainCreateXML"); err != nil {
		return nil, err
	}
	if a.Flags&libvirt.DomainStartValidate != 0 {
		if err := domxml.Validate([]byte(a.XMLDesc)); err != nil {
			return nil, err
		}
	}
	def, err := domxml.Parse([]byte(a.XMLDesc))
	if err != nil {
		return nil, err
	}
	d, err := c.driver.domains.Create(ctx, def, c.runOptions(a.Flags))
	if err != nil {
		return nil, err
	}
	return &libvirt.DomainCreateXMLRet{Dom: object(d.View().Identity)}, nil
}

// DomainCreate starts a persistent domain.
func (c *Conn) DomainCreate(ctx context.Context, a *libvirt.DomainCreateArgs) error {
	_, err := c.start(ctx, a.Dom, 0)
	return err
}

// DomainCreateWithFlags starts a persistent domain.
func (c *Conn) DomainCreateWithFlags(ctx context.Context, a *libvirt.DomainCreateWithFlagsArgs) (*libvirt.DomainCreateWithFlagsRet, error) {
	flags := libvirt.DomainCreateFlags(a.Flags)
	if err := checkFlags(flags, createFlags, "virDomainCreateWithFlags"); err != nil {
		return nil, err
	}
	dom, err := c.start(ctx, a.Dom, flags)
	if err != nil {
		return nil, err
	}
	return &libvirt.DomainCreateWithFlagsRet{Dom: dom}, nil
}

func (c *Conn) start(ctx context.Context, dom libvirt.Domain, flags libvirt.DomainCreateFlags) (libvirt.Domain, error) {
	d, err := c.find(dom)
	if err != nil {
		return libvirt.Domain{}, err
	}
	if err := d.Start(ctx, c.runOptions(flags)); err != nil {
		return libvirt.Domain{}, err
	}
	return object(d.View().Identity), nil
}

// DomainDestroy ends a guest at once.
func (c *Conn) DomainDestroy(ctx context.Context, a *libvirt.DomainDestroyArgs) error {
	return c.DomainDestroyFlags(ctx, &libvirt.DomainDestroyFlagsArgs{Dom: a.Dom})
}

// DomainDestroyFlags ends a guest, gracefully when asked to.
func (c *Conn) DomainDestroyFlags(ctx context.Context, a *libvirt.DomainDestroyFlagsArgs) error {
	if err := checkFlags(a.Flags, libvirt.DomainDestroyGraceful, "virDomainDestroyFlags"); err != nil {
		return err
	}
	d, err := c.find(a.Dom)
	if err != nil {
		return err
	}
	return d.Destroy(ctx, a.Flags&libvirt.DomainDestroyGraceful != 0)
}

// shutdownModes are the ways of asking that have a meaning here: a UML kernel
// has one, its control-alt-delete, which stands for ACPI's power button and
// for a signal to init.
const shutdownModes = libvirt.DomainShutdownAcpiPowerBtn | libvirt.DomainShutdownInitctl | libvirt.DomainShutdownSignal

// DomainShutdown asks a guest to power off.
func (c *Conn) DomainShutdown(ctx context.Context, a *libvirt.DomainShutdownArgs) error {
	return c.DomainShutdownFlags(ctx, &libvirt.DomainShutdownFlagsArgs{Dom: a.Dom})
}

// DomainShutdownFlags asks a guest to power off.
func (c *Conn) DomainShutdownFlags(ctx context.Context, a *libvirt.DomainShutdownFlagsArgs) error {
	const known = shutdownModes | libvirt.DomainShutdownGuestAgent | libvirt.DomainShutdownParavirt
	if err := checkFlags(a.Flags, known, "virDomainShutdownFlags"); err != nil {
		return err
	}
	if a.Flags != 0 && a.Flags&shutdownModes == 0 {
		return errMode("shutdown")
	}
	d, err := c.find(a.Dom)
	if err != nil {
		return err
	}
	return d.Shutdown(ctx)
}

const rebootModes = libvirt.DomainRebootAcpiPowerBtn | libvirt.DomainRebootInitctl | libvirt.DomainRebootSignal

// DomainReboot asks a guest to reboot.
func (c *Conn) DomainReboot(ctx context.Context, a *libvirt.DomainRebootArgs) error {
	const known = rebootModes | libvirt.DomainRebootGuestAgent | libvirt.DomainRebootParavirt
	if err := checkFlags(a.Flags, known, "virDomainReboot"); err != nil {
		return err
	}
	if a.Flags != 0 && a.Flags&rebootModes == 0 {
		return errMode("reboot")
	}
	d, err := c.find(a.Dom)
	if err != nil {
		return err
	}
	return d.Reboot(ctx)
}

func errMode(what string) error {
	return virerr.New(libvirt.ErrOperationUnsupported,
		"a UML guest can be asked to %s by its control-alt-delete only: use mode acpi, initctl or signal", what)
}

// DomainReset restarts a guest at once.
func (c *Conn) DomainReset(ctx context.Context, a *libvirt.DomainResetArgs) error {
	if err := checkFlags(a.Flags, 0, "virDomainReset"); err != nil {
		return err
	}
	d, err := c.find(a.Dom)
	if err != nil {
		return err
	}
	return d.Reset(ctx)
}

// DomainSuspend stops a guest's execution.
func (c *Conn) DomainSuspend(ctx context.Context, a *libvirt.DomainSuspendArgs) error {
	d, err := c.find(a.Dom)
	if err != nil {
		return err
	}
	return d.Suspend(ctx)
}

// DomainResume lets a paused guest go on.
func (c *Conn) DomainResume(ctx context.Context, a *libvirt.DomainResumeArgs) error {
	d, err := c.find(a.Dom)
	if err != nil {
		return err
	}
	return d.Resume(ctx)
}
