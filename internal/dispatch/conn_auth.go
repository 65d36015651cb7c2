package dispatch

import (
	"context"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/proto"
	"virtumld/internal/wire"
)

// Authentication is what one client has to do before its calls are served.
// Its methods are called by one goroutine.
type Authentication interface {
	// Types are the ways that the client may choose from.
	Types() []libvirt.AuthType
	// Done reports whether the client is who it has to be.
	Done() bool
}

// noAuthentication lets a client in because it could open the socket.
type noAuthentication struct{}

func (noAuthentication) Types() []libvirt.AuthType { return []libvirt.AuthType{proto.AuthTypeNone} }
func (noAuthentication) Done() bool                { return true }

// isAuthentication reports whether a call is part of authentication.
func isAuthentication(h wire.Header) bool {
	if h.Program != proto.ProgramRemote {
		return false
	}
	switch h.Procedure {
	case proto.AuthList, proto.AuthSaslInit, proto.AuthSaslStart, proto.AuthSaslStep, proto.AuthPolkit:
		return true
	}
	return false
}

// authList tells the client its choice; the list of a client that is let in
// already says so.
func (c *client) authList(context.Context) (*libvirt.AuthListRet, error) {
	if c.auth.Done() {
		return &libvirt.AuthListRet{Types: noAuthentication{}.Types()}, nil
	}
	return &libvirt.AuthListRet{Types: c.auth.Types()}, nil
}
