package driver

import (
	"context"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/domain"
	"virtumld/internal/domxml"
	"virtumld/internal/virerr"
)

// DomainGetMaxMemory tells <memory> in KiB.
func (c *Conn) DomainGetMaxMemory(_ context.Context, a *libvirt.DomainGetMaxMemoryArgs) (*libvirt.DomainGetMaxMemoryRet, error) {
	v, err := c.view(a.Dom)
	if err != nil {
		return nil, err
	}
	def := v.Definition()
	if def == nil {
		return nil, errGone(v)
	}
	return &libvirt.DomainGetMaxMemoryRet{Memory: def.MaxMemory}, nil
}

// DomainSetMaxMemory sets <memory>, in KiB, of an inactive domain.
func (c *Conn) DomainSetMaxMemory(ctx context.Context, a *libvirt.DomainSetMaxMemoryArgs) error {
	return c.setMemory(ctx, a.Dom, a.Memory, libvirt.DomainMemMaximum)
}

// DomainSetMemory sets <currentMemory>, in KiB, of the live domain.
func (c *Conn) DomainSetMemory(ctx context.Context, a *libvirt.DomainSetMemoryArgs) error {
	return c.setMemory(ctx, a.Dom, a.Memory, libvirt.DomainMemLive)
}

// DomainSetMemoryFlags sets <currentMemory> or, with the maximum flag,
// <memory>, in KiB.
func (c *Conn) DomainSetMemoryFlags(ctx context.Context, a *libvirt.DomainSetMemoryFlagsArgs) error {
	const known = libvirt.DomainMemLive | libvirt.DomainMemConfig | libvirt.DomainMemMaximum
	flags := libvirt.DomainMemoryModFlags(a.Flags)
	if err := checkFlags(flags, known, "virDomainSetMemoryFlags"); err != nil {
		return err
	}
	return c.setMemory(ctx, a.Dom, a.Memory, flags)
}

func (c *Conn) setMemory(ctx context.Context, dom libvirt.Domain, kib uint64, flags libvirt.DomainMemoryModFlags) error {
	d, err := c.find(dom)
	if err != nil {
		return err
	}
	change := func(def *domxml.Definition) (*domxml.Definition, error) { return def.WithMemory(kib) }
	errLive := virerr.New(libvirt.ErrOperationUnsupported,
		"the memory of a running UML guest cannot be changed; use --config and restart it")
	if flags&libvirt.DomainMemMaximum != 0 {
		change = func(def *domxml.Definition) (*domxml.Definition, error) { return def.WithMaxMemory(kib) }
		errLive = virerr.New(libvirt.ErrOperationInvalid, "cannot resize the maximum memory on an active domain")
	}
	return d.Edit(ctx, domain.Edit{
		Job:    "set memory",
		Target: target(libvirt.DomainModificationImpact(flags &^ libvirt.DomainMemMaximum)),
		Change: change,
		Apply:  func(context.Context, domain.Guest, *domxml.Definition) error { return errLive },
	})
}
