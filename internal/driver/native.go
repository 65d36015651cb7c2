package driver

import (
	"context"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/domxml"
	"virtumld/internal/native"
	"virtumld/internal/virerr"
)

// ConnectDomainXMLToNative makes the command line of a document.
func (c *Conn) ConnectDomainXMLToNative(ctx context.Context, a *libvirt.ConnectDomainXMLToNativeArgs) (*libvirt.ConnectDomainXMLToNativeRet, error) {
	if err := checkNative(a.NativeFormat, a.Flags, "virConnectDomainXMLToNative"); err != nil {
		return nil, err
	}
	def, err := domxml.Parse([]byte(a.DomainXML))
	if err != nil {
		return nil, err
	}
	text, err := c.driver.domains.CommandLine(ctx, def)
	if err != nil {
		return nil, err
	}
	return &libvirt.ConnectDomainXMLToNativeRet{NativeConfig: text}, nil
}

// ConnectDomainXMLFromNative makes the document of a command line. Nothing of
// the host is looked at: whether the domain can run shows when it is defined.
func (c *Conn) ConnectDomainXMLFromNative(_ context.Context, a *libvirt.ConnectDomainXMLFromNativeArgs) (*libvirt.ConnectDomainXMLFromNativeRet, error) {
	if err := checkNative(a.NativeFormat, a.Flags, "virConnectDomainXMLFromNative"); err != nil {
		return nil, err
	}
	document, err := native.XML(a.NativeConfig)
	if err != nil {
		return nil, err
	}
	return &libvirt.ConnectDomainXMLFromNativeRet{DomainXML: document}, nil
}

// checkNative refuses flags and formats that are not there, in the words of
// libvirt's QEMU driver (src/qemu/qemu_driver.c, qemuConnectDomainXMLToNative).
func checkNative(format string, flags uint32, function string) error {
	if err := checkFlags(flags, 0, function); err != nil {
		return err
	}
	if format != native.Format {
		return virerr.In(virerr.UML, libvirt.ErrInvalidArg, "unsupported config type %s", format)
	}
	return nil
}
