// Package qemusock carries Ethernet frames over sockets as QEMU's "socket"
// network backends do (net/socket.c, net/dgram.c, net/stream.c), so that guests
// of both are on one network. It knows nothing of switches or guests.
package qemusock

import (
	"io"
	"net/netip"

	libvirt "github.com/digitalocean/go-libvirt"

	"virtumld/internal/virerr"
)

// Kind is one of QEMU's kinds.
type Kind string

// The kinds, as <interface type='…'> names them.
const (
	// Mcast sends each frame as a datagram to a multicast group, and UDP to
	// one peer.
	Mcast Kind = "mcast"
	UDP   Kind = "udp"
	// Server and Client send frames over TCP, each after its length as four
	// bytes in network order.
	Server Kind = "server"
	Client Kind = "client"
)

// Config is a socket's settings.
type Config struct {
	Kind Kind
	// Address is the group of Mcast, the peer of UDP and Client, and where
	// Server listens.
	Address netip.AddrPort
	// Local is where UDP receives. Of Mcast, its address is the one of the
	// host's interface to use; invalid for the host's choice.
	Local netip.AddrPort
}

// maxFrame is QEMU's NET_BUFSIZE (include/net/net.h): longer frames are no
// frames.
const maxFrame = 4096 + 65536

// Open opens the socket. Each Read of it takes one frame; each Write sends one,
// or fails when it cannot be sent now. Close ends a Read that waits. A peer of
// Server and Client may come and go. log is told when one does. The error is a
// *virerr.Error.
func Open(cfg Config, log func(format string, args ...any)) (io.ReadWriteCloser, error) {
	switch cfg.Kind {
	case Mcast:
		return openMcast(cfg)
	case UDP:
		return openUDP(cfg)
	case Server:
		return openServer(cfg, log)
	case Client:
		return openClient(cfg, log)
	default:
		return nil, virerr.In(virerr.Network, libvirt.ErrConfigUnsupported, "there is no socket network of kind '%s'", cfg.Kind)
	}
}

func failure(what string, at netip.AddrPort, err error) error {
	return virerr.In(virerr.Network, libvirt.ErrSystemError, "cannot %s %s: %w", what, at, err)
}
