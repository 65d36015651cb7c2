package driver

import (
	"context"
	"strings"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/virerr"
)

// libVersion is the libvirt release whose behaviour this driver follows, as
// major*1000000 + minor*1000 + release; clients take it for the features they
// may ask for.
const libVersion = 9_000_000

// ConnectGetType names the hypervisor as the UML driver of libvirt did.
func (c *Conn) ConnectGetType(context.Context) (*libvirt.ConnectGetTypeRet, error) {
	return &libvirt.ConnectGetTypeRet{Type: "UML"}, nil
}

// ConnectGetVersion tells the default kernel's release. Without such a kernel
// it is 0, libvirt's "not known": clients ask at once after they connect, and
// domains may name kernels of their own.
func (c *Conn) ConnectGetVersion(ctx context.Context) (*libvirt.ConnectGetVersionRet, error) {
	kernel, err := c.driver.host.Kernel(ctx, "")
	if err != nil {
		c.driver.log.Debug("the default kernel's version is not known", "error", err)
		return &libvirt.ConnectGetVersionRet{}, nil
	}
	version := uint64(kernel.Major)*1_000_000 + uint64(kernel.Minor)*1000 + uint64(min(kernel.Patch, 999))
	return &libvirt.ConnectGetVersionRet{HvVer: version}, nil
}

// ConnectGetLibVersion tells which libvirt this daemon stands for.
func (c *Conn) ConnectGetLibVersion(context.Context) (*libvirt.ConnectGetLibVersionRet, error) {
	return &libvirt.ConnectGetLibVersionRet{LibVer: libVersion}, nil
}

// ConnectGetHostname tells the host's name.
func (c *Conn) ConnectGetHostname(context.Context) (*libvirt.ConnectGetHostnameRet, error) {
	name, err := c.driver.host.Info.Hostname()
	if err != nil {
		return nil, errHost(err)
	}
	return &libvirt.ConnectGetHostnameRet{Hostname: name}, nil
}

// ConnectGetURI tells the canonical URI to a client that opened an empty one.
func (c *Conn) ConnectGetURI(context.Context) (*libvirt.ConnectGetUriRet, error) {
	if c.driver.paths.System {
		return &libvirt.ConnectGetUriRet{Uri: "uml:///system"}, nil
	}
	return &libvirt.ConnectGetUriRet{Uri: "uml:///session"}, nil
}

// ConnectIsSecure is true: nobody can listen in on a unix socket.
func (c *Conn) ConnectIsSecure(context.Context) (*libvirt.ConnectIsSecureRet, error) {
	return &libvirt.ConnectIsSecureRet{Secure: 1}, nil
}

// ConnectGetMaxVcpus tells how many processors a guest of the default kernel
// can have.
func (c *Conn) ConnectGetMaxVcpus(ctx context.Context, a *libvirt.ConnectGetMaxVcpusArgs) (*libvirt.ConnectGetMaxVcpusRet, error) {
	for _, virtType := range a.Type {
		if !strings.EqualFold(virtType, "uml") {
			return nil, virerr.New(libvirt.ErrInvalidArg, "unknown type '%s': this driver runs 'uml' only", virtType)
		}
	}
	kernel, err := c.driver.host.Kernel(ctx, "")
	if err != nil {
		return nil, virerr.New(libvirt.ErrOperationFailed, "cannot tell how many processors a guest can have: %w", err)
	}
	return &libvirt.ConnectGetMaxVcpusRet{MaxVcpus: int32(kernel.MaxVCPUs)}, nil
}
