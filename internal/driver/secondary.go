package driver

import (
	"context"

	libvirt "github.com/digitalocean/go-libvirt"
	"github.com/google/uuid"

	"virtumld/internal/virerr"
)

// Interfaces of the host, node devices, secrets and network filters: this daemon
// keeps none, so look-ups find nothing. Dispatch answers the lists, which are
// empty.

// InterfaceLookupByName finds no interface.
func (c *Conn) InterfaceLookupByName(_ context.Context, a *libvirt.InterfaceLookupByNameArgs) (*libvirt.InterfaceLookupByNameRet, error) {
	return nil, virerr.In(virerr.Interface, libvirt.ErrNoInterface, "couldn't find interface named '%s'", a.Name)
}

// InterfaceLookupByMacString finds no interface.
func (c *Conn) InterfaceLookupByMacString(_ context.Context, a *libvirt.InterfaceLookupByMacStringArgs) (*libvirt.InterfaceLookupByMacStringRet, error) {
	return nil, virerr.In(virerr.Interface, libvirt.ErrNoInterface, "couldn't find interface with MAC address '%s'", a.Mac)
}

// NodeDeviceLookupByName finds no device.
func (c *Conn) NodeDeviceLookupByName(_ context.Context, a *libvirt.NodeDeviceLookupByNameArgs) (*libvirt.NodeDeviceLookupByNameRet, error) {
	return nil, virerr.In(virerr.NodeDev, libvirt.ErrNoNodeDevice, "no node device with matching name '%s'", a.Name)
}

// SecretLookupByUUID finds no secret.
func (c *Conn) SecretLookupByUUID(_ context.Context, a *libvirt.SecretLookupByUUIDArgs) (*libvirt.SecretLookupByUUIDRet, error) {
	return nil, virerr.In(virerr.Secret, libvirt.ErrNoSecret, "no secret with matching uuid '%s'", uuid.UUID(a.UUID))
}

// SecretLookupByUsage finds no secret.
func (c *Conn) SecretLookupByUsage(_ context.Context, a *libvirt.SecretLookupByUsageArgs) (*libvirt.SecretLookupByUsageRet, error) {
	return nil, virerr.In(virerr.Secret, libvirt.ErrNoSecret, "no secret with matching usage '%s'", a.UsageID)
}

// NwfilterLookupByName finds no filter.
func (c *Conn) NwfilterLookupByName(_ context.Context, a *libvirt.NwfilterLookupByNameArgs) (*libvirt.NwfilterLookupByNameRet, error) {
	return nil, virerr.In(virerr.NWFilter, libvirt.ErrNoNwfilter, "no nwfilter with matching name '%s'", a.Name)
}

// NwfilterLookupByUUID finds no filter.
func (c *Conn) NwfilterLookupByUUID(_ context.Context, a *libvirt.NwfilterLookupByUUIDArgs) (*libvirt.NwfilterLookupByUUIDRet, error) {
	return nil, virerr.In(virerr.NWFilter, libvirt.ErrNoNwfilter, "no nwfilter with matching uuid '%s'", uuid.UUID(a.UUID))
}

// DomainSnapshotNum counts no snapshots.
func (c *Conn) DomainSnapshotNum(_ context.Context, a *libvirt.DomainSnapshotNumArgs) (*libvirt.DomainSnapshotNumRet, error) {
	if _, err := c.view(a.Dom); err != nil {
		return nil, err
	}
	return &libvirt.DomainSnapshotNumRet{}, nil
}

// DomainListAllSnapshots lists no snapshots.
func (c *Conn) DomainListAllSnapshots(_ context.Context, a *libvirt.DomainListAllSnapshotsArgs) (*libvirt.DomainListAllSnapshotsRet, error) {
	if _, err := c.view(a.Dom); err != nil {
		return nil, err
	}
	return &libvirt.DomainListAllSnapshotsRet{}, nil
}

// DomainHasCurrentSnapshot answers no.
func (c *Conn) DomainHasCurrentSnapshot(_ context.Context, a *libvirt.DomainHasCurrentSnapshotArgs) (*libvirt.DomainHasCurrentSnapshotRet, error) {
	if _, err := c.view(a.Dom); err != nil {
		return nil, err
	}
	return &libvirt.DomainHasCurrentSnapshotRet{}, nil
}
