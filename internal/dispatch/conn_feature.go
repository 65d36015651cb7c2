package dispatch

import (
	"context"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/proto"
)

// supportsFeature answers a client's question; a feature that is not known is
// not there. The question for keepalive also starts the server's own pings, as
// only a client that asks will answer them.
func (c *client) supportsFeature(_ context.Context, args *libvirt.ConnectSupportsFeatureArgs) (*libvirt.ConnectSupportsFeatureRet, error) {
	switch args.Feature {
	case proto.FeatureProgramKeepalive:
		c.alive.start()
	case proto.FeatureTypedParamString, proto.FeatureXMLMigratable, proto.FeatureEventCallback,
		proto.FeatureCloseCallback, proto.FeatureNetworkUpdateOrder:
	default:
		return &libvirt.ConnectSupportsFeatureRet{Supported: 0}, nil
	}
	return &libvirt.ConnectSupportsFeatureRet{Supported: 1}, nil
}
