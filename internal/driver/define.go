package driver

import (
	"context"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/domxml"
	"virtumld/internal/virerr"
)

// DomainDefineXML makes the document a persistent domain's definition.
func (c *Conn) DomainDefineXML(ctx context.Context, a *libvirt.DomainDefineXMLArgs) (*libvirt.DomainDefineXMLRet, error) {
	dom, err := c.define(ctx, a.XML)
	if err != nil {
		return nil, err
	}
	return &libvirt.DomainDefineXMLRet{Dom: dom}, nil
}

// DomainDefineXMLFlags is DomainDefineXML; with the flag to validate, elements
// and attributes that libvirt does not have are refused rather than dropped.
func (c *Conn) DomainDefineXMLFlags(ctx context.Context, a *libvirt.DomainDefineXMLFlagsArgs) (*libvirt.DomainDefineXMLFlagsRet, error) {
	if err := checkFlags(a.Flags, libvirt.DomainDefineValidate, "virDomainDefineXMLFlags"); err != nil {
		return nil, err
	}
	if a.Flags&libvirt.DomainDefineValidate != 0 {
		if err := domxml.Validate([]byte(a.XML)); err != nil {
			return nil, err
		}
	}
	dom, err := c.define(ctx, a.XML)
	if err != nil {
		return nil, err
	}
	return &libvirt.DomainDefineXMLFlagsRet{Dom: dom}, nil
}

func (c *Conn) define(ctx context.Context, document string) (libvirt.Domain, error) {
	def, err := domxml.Parse([]byte(document))
	if err != nil {
		return libvirt.Domain{}, err
	}
	d, err := c.driver.domains.Define(ctx, def)
	if err != nil {
		return libvirt.Domain{}, err
	}
	return object(d.View().Identity), nil
}

// undefineFlags are all of libvirt's: what they would keep or remove (saved
// state, snapshots, firmware, TPM) a UML guest never has.
const undefineFlags = libvirt.DomainUndefineManagedSave | libvirt.DomainUndefineSnapshotsMetadata |
	libvirt.DomainUndefineNvram | libvirt.DomainUndefineKeepNvram | libvirt.DomainUndefineCheckpointsMetadata |
	libvirt.DomainUndefineTpm | libvirt.DomainUndefineKeepTpm

// DomainUndefine forgets a persistent definition.
func (c *Conn) DomainUndefine(ctx context.Context, a *libvirt.DomainUndefineArgs) error {
	d, err := c.find(a.Dom)
	if err != nil {
		return err
	}
	return d.Undefine(ctx)
}

// DomainUndefineFlags is DomainUndefine.
func (c *Conn) DomainUndefineFlags(ctx context.Context, a *libvirt.DomainUndefineFlagsArgs) error {
	if err := checkFlags(a.Flags, undefineFlags, "virDomainUndefineFlags"); err != nil {
		return err
	}
	return c.DomainUndefine(ctx, &libvirt.DomainUndefineArgs{Dom: a.Dom})
}

// DomainRename gives an inactive domain another name.
func (c *Conn) DomainRename(ctx context.Context, a *libvirt.DomainRenameArgs) (*libvirt.DomainRenameRet, error) {
	if err := checkFlags(a.Flags, 0, "virDomainRename"); err != nil {
		return nil, err
	}
	if len(a.NewName) == 0 {
		return nil, virerr.New(libvirt.ErrInvalidArg, "new_name in virDomainRename must not be NULL")
	}
	d, err := c.find(a.Dom)
	if err != nil {
		return nil, err
	}
	if err := d.Rename(ctx, a.NewName[0]); err != nil {
		return nil, err
	}
	return &libvirt.DomainRenameRet{}, nil
}

// DomainGetAutostart tells whether a domain starts with the daemon.
func (c *Conn) DomainGetAutostart(_ context.Context, a *libvirt.DomainGetAutostartArgs) (*libvirt.DomainGetAutostartRet, error) {
	v, err := c.view(a.Dom)
	if err != nil {
		return nil, err
	}
	return &libvirt.DomainGetAutostartRet{Autostart: oneIf(v.Autostart)}, nil
}

// DomainSetAutostart sets whether a domain starts with the daemon.
func (c *Conn) DomainSetAutostart(ctx context.Context, a *libvirt.DomainSetAutostartArgs) error {
	d, err := c.find(a.Dom)
	if err != nil {
		return err
	}
	return d.SetAutostart(ctx, a.Autostart != 0)
}

// oneIf is C's truth.
func oneIf(truth bool) int32 {
	if truth {
		return 1
	}
	return 0
}
