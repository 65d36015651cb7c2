package driver

import (
	"context"

	libvirt "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"

	"virtumld/internal/domain"
)

// find is the domain that a client's object stands for. Only its uuid counts:
// name and id may be old.
func (c *Conn) find(dom libvirt.Domain) (*domain.Domain, error) {
	return c.driver.domains.ByUUID(uuid.UUID(dom.UUID), dom.Name)
}

// view is find for those who only look.
func (c *Conn) view(dom libvirt.Domain) (*domain.View, error) {
	d, err := c.find(dom)
	if err != nil {
		return nil, err
	}
	return d.View(), nil
}

// object is what clients hold of a domain.
func object(id domain.Identity) libvirt.Domain {
	return libvirt.Domain{Name: id.Name, UUID: libvirt.UUID(id.UUID), ID: id.ID}
}

// DomainLookupByID finds an active domain.
func (c *Conn) DomainLookupByID(_ context.Context, a *libvirt.DomainLookupByIDArgs) (*libvirt.DomainLookupByIDRet, error) {
	d, err := c.driver.domains.ByID(a.ID)
	if err != nil {
		return nil, err
	}
	return &libvirt.DomainLookupByIDRet{Dom: object(d.View().Identity)}, nil
}

// DomainLookupByName finds a domain by its name.
func (c *Conn) DomainLookupByName(_ context.Context, a *libvirt.DomainLookupByNameArgs) (*libvirt.DomainLookupByNameRet, error) {
	d, err := c.driver.domains.ByName(a.Name)
	if err != nil {
		return nil, err
	}
	return &libvirt.DomainLookupByNameRet{Dom: object(d.View().Identity)}, nil
}

// DomainLookupByUUID finds a domain by its uuid.
func (c *Conn) DomainLookupByUUID(_ context.Context, a *libvirt.DomainLookupByUUIDArgs) (*libvirt.DomainLookupByUUIDRet, error) {
	d, err := c.driver.domains.ByUUID(uuid.UUID(a.UUID), "")
	if err != nil {
		return nil, err
	}
	return &libvirt.DomainLookupByUUIDRet{Dom: object(d.View().Identity)}, nil
}
