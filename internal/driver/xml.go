package driver

import (
	"context"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/virerr"
)

// xmlFlags are the flags of a domain's document. Nothing of a UML guest's
// document depends on the host's CPU or is changed for a migration, so those
// two change nothing.
const xmlFlags = libvirt.DomainXMLSecure | libvirt.DomainXMLInactive | libvirt.DomainXMLUpdateCPU | libvirt.DomainXMLMigratable

// DomainGetXMLDesc returns the live document of a running domain, or the
// inactive one, which is also what a running domain will be at its next start.
func (c *Conn) DomainGetXMLDesc(_ context.Context, a *libvirt.DomainGetXMLDescArgs) (*libvirt.DomainGetXMLDescRet, error) {
	const function = "virDomainGetXMLDesc"
	if err := checkFlags(a.Flags, xmlFlags, function); err != nil {
		return nil, err
	}
	if c.readOnly && a.Flags&(libvirt.DomainXMLSecure|libvirt.DomainXMLMigratable) != 0 {
		return nil, virerr.New(libvirt.ErrOperationDenied, "%s with secure flag", function)
	}
	v, err := c.view(a.Dom)
	if err != nil {
		return nil, err
	}
	text := v.XML(a.Flags&libvirt.DomainXMLInactive != 0, a.Flags&libvirt.DomainXMLSecure != 0)
	if text == "" {
		return nil, errGone(v)
	}
	return &libvirt.DomainGetXMLDescRet{XML: text}, nil
}
