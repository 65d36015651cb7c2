package driver

import (
	"context"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/network"
)

// NetworkDefineXML makes the document a persistent network's definition.
func (c *Conn) NetworkDefineXML(ctx context.Context, a *libvirt.NetworkDefineXMLArgs) (*libvirt.NetworkDefineXMLRet, error) {
	v, err := c.driver.networks.Define(ctx, a.XML, false)
	if err != nil {
		return nil, err
	}
	return &libvirt.NetworkDefineXMLRet{Net: networkObject(v.Spec)}, nil
}

// NetworkDefineXMLFlags is NetworkDefineXML with the flag to validate.
func (c *Conn) NetworkDefineXMLFlags(ctx context.Context, a *libvirt.NetworkDefineXMLFlagsArgs) (*libvirt.NetworkDefineXMLFlagsRet, error) {
	if err := checkNetworkFlags(a.Flags, uint32(libvirt.NetworkDefineValidate), "virNetworkDefineXMLFlags"); err != nil {
		return nil, err
	}
	v, err := c.driver.networks.Define(ctx, a.XML, a.Flags != 0)
	if err != nil {
		return nil, err
	}
	return &libvirt.NetworkDefineXMLFlagsRet{Net: networkObject(v.Spec)}, nil
}

// NetworkCreateXML starts a network from a document.
func (c *Conn) NetworkCreateXML(ctx context.Context, a *libvirt.NetworkCreateXMLArgs) (*libvirt.NetworkCreateXMLRet, error) {
	v, err := c.driver.networks.Create(ctx, a.XML, false)
	if err != nil {
		return nil, err
	}
	return &libvirt.NetworkCreateXMLRet{Net: networkObject(v.Spec)}, nil
}

// NetworkCreateXMLFlags is NetworkCreateXML with the flag to validate.
func (c *Conn) NetworkCreateXMLFlags(ctx context.Context, a *libvirt.NetworkCreateXMLFlagsArgs) (*libvirt.NetworkCreateXMLFlagsRet, error) {
	if err := checkNetworkFlags(a.Flags, uint32(libvirt.NetworkCreateValidate), "virNetworkCreateXMLFlags"); err != nil {
		return nil, err
	}
	v, err := c.driver.networks.Create(ctx, a.XML, a.Flags != 0)
	if err != nil {
		return nil, err
	}
	return &libvirt.NetworkCreateXMLFlagsRet{Net: networkObject(v.Spec)}, nil
}

// NetworkCreate starts a persistent network.
func (c *Conn) NetworkCreate(ctx context.Context, a *libvirt.NetworkCreateArgs) error {
	return c.driver.networks.Start(ctx, networkSpec(a.Net))
}

// NetworkDestroy stops a network.
func (c *Conn) NetworkDestroy(ctx context.Context, a *libvirt.NetworkDestroyArgs) error {
	return c.driver.networks.Destroy(ctx, networkSpec(a.Net))
}

// NetworkUndefine forgets a network's definition.
func (c *Conn) NetworkUndefine(ctx context.Context, a *libvirt.NetworkUndefineArgs) error {
	return c.driver.networks.Undefine(ctx, networkSpec(a.Net))
}

const bothSidesOfNetwork = libvirt.NetworkUpdateAffectLive | libvirt.NetworkUpdateAffectConfig

// networkTarget reads virNetworkUpdateFlags.
func networkTarget(flags libvirt.NetworkUpdateFlags) network.Target {
	return network.Target{
		Live:   flags&libvirt.NetworkUpdateAffectLive != 0,
		Config: flags&libvirt.NetworkUpdateAffectConfig != 0,
	}
}

// NetworkUpdate changes one section of a network. Clients that ask for the
// feature of it, which all of the last years do, send command and section in
// this order (src/libvirt-network.c, virNetworkUpdate).
func (c *Conn) NetworkUpdate(ctx context.Context, a *libvirt.NetworkUpdateArgs) error {
	if err := checkNetworkFlags(a.Flags, bothSidesOfNetwork, "virNetworkUpdate"); err != nil {
		return err
	}
	return c.driver.networks.Update(ctx, networkSpec(a.Net), network.Command(a.Command), network.Section(a.Section),
		int(a.ParentIndex), a.XML, networkTarget(a.Flags))
}

// NetworkGetMetadata reads title, description or one element of <metadata>.
func (c *Conn) NetworkGetMetadata(_ context.Context, a *libvirt.NetworkGetMetadataArgs) (*libvirt.NetworkGetMetadataRet, error) {
	flags := libvirt.NetworkUpdateFlags(a.Flags)
	if err := checkNetworkFlags(flags, bothSidesOfNetwork, "virNetworkGetMetadata"); err != nil {
		return nil, err
	}
	text, err := c.driver.networks.Metadata(networkSpec(a.OptNetwork), a.Type, first(a.Uri), networkTarget(flags))
	if err != nil {
		return nil, err
	}
	return &libvirt.NetworkGetMetadataRet{Metadata: text}, nil
}

// NetworkSetMetadata sets or, with no text, removes title, description or one
// element of <metadata>.
func (c *Conn) NetworkSetMetadata(ctx context.Context, a *libvirt.NetworkSetMetadataArgs) error {
	flags := libvirt.NetworkUpdateFlags(a.Flags)
	if err := checkNetworkFlags(flags, bothSidesOfNetwork, "virNetworkSetMetadata"); err != nil {
		return err
	}
	var value *string
	if len(a.Metadata) > 0 {
		value = &a.Metadata[0]
	}
	return c.driver.networks.SetMetadata(ctx, networkSpec(a.OptNetwork), a.Type, value, first(a.Key), first(a.Uri), networkTarget(flags))
}
