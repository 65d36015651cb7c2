package driver

import (
	"context"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/domain"
	"virtumld/internal/domxml"
	"virtumld/internal/virerr"
)

// DomainGetMaxVcpus tells the <vcpu> maximum.
func (c *Conn) DomainGetMaxVcpus(_ context.Context, a *libvirt.DomainGetMaxVcpusArgs) (*libvirt.DomainGetMaxVcpusRet, error) {
	v, err := c.view(a.Dom)
	if err != nil {
		return nil, err
	}
	def := v.Definition()
	if def == nil {
		return nil, errGone(v)
	}
	return &libvirt.DomainGetMaxVcpusRet{Num: int32(def.VCPUs)}, nil
}

// DomainGetVcpusFlags tells current or maximum vcpus, of one side.
func (c *Conn) DomainGetVcpusFlags(_ context.Context, a *libvirt.DomainGetVcpusFlagsArgs) (*libvirt.DomainGetVcpusFlagsRet, error) {
	const function = "virDomainGetVcpusFlags"
	const known = libvirt.DomainVCPULive | libvirt.DomainVCPUConfig | libvirt.DomainVCPUMaximum
	flags := libvirt.DomainVCPUFlags(a.Flags)
	if err := checkFlags(flags, known, function); err != nil {
		return nil, err
	}
	impact := libvirt.DomainModificationImpact(flags &^ libvirt.DomainVCPUMaximum)
	if err := checkTarget(impact, function); err != nil {
		return nil, err
	}
	v, err := c.view(a.Dom)
	if err != nil {
		return nil, err
	}
	def, err := target(impact).Pick(v)
	if err != nil {
		return nil, err
	}
	if def == nil {
		return nil, errGone(v)
	}
	if flags&libvirt.DomainVCPUMaximum != 0 {
		return &libvirt.DomainGetVcpusFlagsRet{Num: int32(def.VCPUs)}, nil
	}
	return &libvirt.DomainGetVcpusFlagsRet{Num: int32(def.VCPUsCurrent)}, nil
}

// DomainSetVcpus sets the vcpus of the live domain, which UML cannot.
func (c *Conn) DomainSetVcpus(ctx context.Context, a *libvirt.DomainSetVcpusArgs) error {
	return c.setVcpus(ctx, a.Dom, a.Nvcpus, libvirt.DomainVCPULive)
}

// DomainSetVcpusFlags sets current or maximum vcpus of the config.
func (c *Conn) DomainSetVcpusFlags(ctx context.Context, a *libvirt.DomainSetVcpusFlagsArgs) error {
	const known = libvirt.DomainVCPULive | libvirt.DomainVCPUConfig | libvirt.DomainVCPUMaximum
	flags := libvirt.DomainVCPUFlags(a.Flags)
	if err := checkFlags(flags, known, "virDomainSetVcpusFlags"); err != nil {
		return err
	}
	return c.setVcpus(ctx, a.Dom, a.Nvcpus, flags)
}

func (c *Conn) setVcpus(ctx context.Context, dom libvirt.Domain, count uint32, flags libvirt.DomainVCPUFlags) error {
	d, err := c.find(dom)
	if err != nil {
		return err
	}
	return d.Edit(ctx, domain.Edit{
		Job:    "set vcpus",
		Target: target(libvirt.DomainModificationImpact(flags &^ libvirt.DomainVCPUMaximum)),
		Change: func(def *domxml.Definition) (*domxml.Definition, error) {
			maximum, current := def.VCPUs, uint(count)
			if flags&libvirt.DomainVCPUMaximum != 0 {
				maximum, current = uint(count), min(def.VCPUsCurrent, uint(count))
			}
			if current > maximum {
				return nil, virerr.New(libvirt.ErrInvalidArg,
					"requested vcpus is greater than max allowable vcpus for the domain: %d > %d", current, maximum)
			}
			next, err := def.WithVCPUs(maximum, current)
			if err != nil {
				return nil, err
			}
			return next, c.driver.domains.Check(ctx, next)
		},
		Apply: func(context.Context, domain.Guest, *domxml.Definition) error {
			return virerr.New(libvirt.ErrOperationUnsupported,
				"the vcpus of a running UML guest cannot be changed; use --config and restart it")
		},
	})
}

// DomainSetLifecycleAction sets on_poweroff, on_reboot or on_crash.
func (c *Conn) DomainSetLifecycleAction(ctx context.Context, a *libvirt.DomainSetLifecycleActionArgs) error {
	const both = libvirt.DomainAffectLive | libvirt.DomainAffectConfig
	if err := checkFlags(a.Flags, both, "virDomainSetLifecycleAction"); err != nil {
		return err
	}
	d, err := c.find(a.Dom)
	if err != nil {
		return err
	}
	return d.Edit(ctx, domain.Edit{
		Job:    "set lifecycle action",
		Target: target(a.Flags),
		Change: func(def *domxml.Definition) (*domxml.Definition, error) {
			return withAction(def, libvirt.DomainLifecycle(a.Type), libvirt.DomainLifecycleAction(a.Action))
		},
		Apply: func(ctx context.Context, guest domain.Guest, live *domxml.Definition) error {
			return guest.SetActions(ctx, live.OnPoweroff, live.OnReboot, live.OnCrash)
		},
	})
}

// actions are libvirt's lifecycle actions that a UML guest can be given.
var actions = map[libvirt.DomainLifecycleAction]domxml.Action{
	libvirt.DomainLifecycleActionDestroy:  domxml.ActionDestroy,
	libvirt.DomainLifecycleActionRestart:  domxml.ActionRestart,
	libvirt.DomainLifecycleActionPreserve: domxml.ActionPreserve,
}

// otherActions are libvirt's names of those that it cannot.
var otherActions = map[libvirt.DomainLifecycleAction]string{
	libvirt.DomainLifecycleActionRestartRename:   "rename-restart",
	libvirt.DomainLifecycleActionCoredumpDestroy: "coredump-destroy",
	libvirt.DomainLifecycleActionCoredumpRestart: "coredump-restart",
}

func errAction(number libvirt.DomainLifecycleAction) error {
	name, known := otherActions[number]
	if !known {
		return virerr.New(libvirt.ErrInvalidArg, "unknown lifecycle action %d", number)
	}
	return virerr.New(libvirt.ErrConfigUnsupported,
		"lifecycle action '%s' is not available for a UML guest: use destroy, restart or preserve", name)
}

func withAction(def *domxml.Definition, event libvirt.DomainLifecycle, number libvirt.DomainLifecycleAction) (*domxml.Definition, error) {
	action, known := actions[number]
	if !known {
		return nil, errAction(number)
	}
	onPoweroff, onReboot, onCrash := def.OnPoweroff, def.OnReboot, def.OnCrash
	switch event {
	case libvirt.DomainLifecyclePoweroff:
		onPoweroff = action
	case libvirt.DomainLifecycleReboot:
		onReboot = action
	case libvirt.DomainLifecycleCrash:
		onCrash = action
	default:
		return nil, virerr.New(libvirt.ErrInvalidArg, "unknown lifecycle event %d", event)
	}
	return def.WithActions(onPoweroff, onReboot, onCrash)
}
