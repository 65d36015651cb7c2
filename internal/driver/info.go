package driver

import (
	"context"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/domain"
)

// DomainGetState tells state and reason.
func (c *Conn) DomainGetState(_ context.Context, a *libvirt.DomainGetStateArgs) (*libvirt.DomainGetStateRet, error) {
	if err := checkFlags(a.Flags, 0, "virDomainGetState"); err != nil {
		return nil, err
	}
	v, err := c.view(a.Dom)
	if err != nil {
		return nil, err
	}
	return &libvirt.DomainGetStateRet{State: int32(v.State), Reason: v.Reason}, nil
}

// DomainGetInfo tells state, memory in KiB, vcpus, and the CPU time in ns that
// all processes of the guest have used.
func (c *Conn) DomainGetInfo(_ context.Context, a *libvirt.DomainGetInfoArgs) (*libvirt.DomainGetInfoRet, error) {
	d, err := c.find(a.Dom)
	if err != nil {
		return nil, err
	}
	v := d.View()
	def := v.Definition()
	if def == nil {
		return nil, errGone(v)
	}
	return &libvirt.DomainGetInfoRet{
		State:     uint8(v.State),
		MaxMem:    def.MaxMemory,
		Memory:    def.CurrentMemory,
		NrVirtCPU: uint16(def.VCPUsCurrent),
		CPUTime:   d.Usage().CPUTime(),
	}, nil
}

// DomainGetOsType answers "uml", the <type> of every UML domain.
func (c *Conn) DomainGetOsType(_ context.Context, a *libvirt.DomainGetOsTypeArgs) (*libvirt.DomainGetOsTypeRet, error) {
	if _, err := c.view(a.Dom); err != nil {
		return nil, err
	}
	return &libvirt.DomainGetOsTypeRet{Type: "uml"}, nil
}

// DomainIsActive tells whether a domain has a guest.
func (c *Conn) DomainIsActive(_ context.Context, a *libvirt.DomainIsActiveArgs) (*libvirt.DomainIsActiveRet, error) {
	v, err := c.view(a.Dom)
	if err != nil {
		return nil, err
	}
	return &libvirt.DomainIsActiveRet{Active: oneIf(v.Active())}, nil
}

// DomainIsPersistent tells whether a domain outlives its guest.
func (c *Conn) DomainIsPersistent(_ context.Context, a *libvirt.DomainIsPersistentArgs) (*libvirt.DomainIsPersistentRet, error) {
	v, err := c.view(a.Dom)
	if err != nil {
		return nil, err
	}
	return &libvirt.DomainIsPersistentRet{Persistent: oneIf(v.Persistent())}, nil
}

// DomainIsUpdated tells whether a running domain will be another at its next
// start.
func (c *Conn) DomainIsUpdated(_ context.Context, a *libvirt.DomainIsUpdatedArgs) (*libvirt.DomainIsUpdatedRet, error) {
	v, err := c.view(a.Dom)
	if err != nil {
		return nil, err
	}
	updated := v.Active() && v.Persistent() && v.Config.XML(true) != v.Live.XML(true)
	return &libvirt.DomainIsUpdatedRet{Updated: oneIf(updated)}, nil
}

// DomainGetControlInfo tells whether a job keeps the domain.
func (c *Conn) DomainGetControlInfo(_ context.Context, a *libvirt.DomainGetControlInfoArgs) (*libvirt.DomainGetControlInfoRet, error) {
	if err := checkFlags(a.Flags, 0, "virDomainGetControlInfo"); err != nil {
		return nil, err
	}
	d, err := c.findActive(a.Dom)
	if err != nil {
		return nil, err
	}
	ret := &libvirt.DomainGetControlInfoRet{State: uint32(libvirt.DomainControlOk)}
	if d.Job() != "" {
		ret.State = uint32(libvirt.DomainControlOccupied)
	}
	return ret, nil
}

// DomainGetJobInfo answers that no long job runs: a UML guest has none
// (no save, no migration).
func (c *Conn) DomainGetJobInfo(_ context.Context, a *libvirt.DomainGetJobInfoArgs) (*libvirt.DomainGetJobInfoRet, error) {
	if _, err := c.findActive(a.Dom); err != nil {
		return nil, err
	}
	return &libvirt.DomainGetJobInfoRet{Type: int32(libvirt.DomainJobNone)}, nil
}

// DomainGetJobStats is DomainGetJobInfo in typed parameters.
func (c *Conn) DomainGetJobStats(_ context.Context, a *libvirt.DomainGetJobStatsArgs) (*libvirt.DomainGetJobStatsRet, error) {
	const known = libvirt.DomainJobStatsCompleted | libvirt.DomainJobStatsKeepCompleted
	if err := checkFlags(a.Flags, known, "virDomainGetJobStats"); err != nil {
		return nil, err
	}
	if _, err := c.findActive(a.Dom); err != nil {
		return nil, err
	}
	return &libvirt.DomainGetJobStatsRet{Type: int32(libvirt.DomainJobNone)}, nil
}

// DomainHasManagedSaveImage answers no: a UML kernel cannot be saved.
func (c *Conn) DomainHasManagedSaveImage(_ context.Context, a *libvirt.DomainHasManagedSaveImageArgs) (*libvirt.DomainHasManagedSaveImageRet, error) {
	if err := checkFlags(a.Flags, 0, "virDomainHasManagedSaveImage"); err != nil {
		return nil, err
	}
	if _, err := c.view(a.Dom); err != nil {
		return nil, err
	}
	return &libvirt.DomainHasManagedSaveImageRet{}, nil
}

// DomainGetSecurityLabel answers an empty label: the host has no security
// model that libvirt's vocabulary could name.
func (c *Conn) DomainGetSecurityLabel(_ context.Context, a *libvirt.DomainGetSecurityLabelArgs) (*libvirt.DomainGetSecurityLabelRet, error) {
	if _, err := c.view(a.Dom); err != nil {
		return nil, err
	}
	return &libvirt.DomainGetSecurityLabelRet{Label: []int8{0}}, nil
}

// DomainGetMessages answers that there is nothing to warn of.
func (c *Conn) DomainGetMessages(_ context.Context, a *libvirt.DomainGetMessagesArgs) (*libvirt.DomainGetMessagesRet, error) {
	const known = libvirt.DomainMessageDeprecation | libvirt.DomainMessageTainting
	if err := checkFlags(libvirt.DomainMessageType(a.Flags), known, "virDomainGetMessages"); err != nil {
		return nil, err
	}
	if _, err := c.view(a.Dom); err != nil {
		return nil, err
	}
	return &libvirt.DomainGetMessagesRet{}, nil
}

// findActive finds a domain that has a guest.
func (c *Conn) findActive(dom libvirt.Domain) (*domain.Domain, error) {
	d, err := c.find(dom)
	if err != nil {
		return nil, err
	}
	if !d.View().Active() {
		return nil, domain.ErrNotRunning()
	}
	return d, nil
}
