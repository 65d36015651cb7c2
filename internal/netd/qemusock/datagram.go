package qemusock

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"

	libvirt "github.com/digitalocean/go-libvirt"
	"golang.org/x/sys/unix"

	"virtumld/internal/virerr"
)

// datagrams sends frames to one address.
type datagrams struct {
	receiver *net.UDPConn
	// sender is receiver, or with mcast a socket of its own, whose address
	// tells the frames that were sent from those that others send.
	sender *net.UDPConn
	to     netip.AddrPort
	// from is the only one who is heard, unless it is invalid; own is who is
	// not.
	from, own netip.AddrPort
}

func openUDP(cfg Config) (io.ReadWriteCloser, error) {
	if !cfg.Local.IsValid() || !cfg.Address.IsValid() {
		return nil, virerr.In(virerr.Network, libvirt.ErrConfigUnsupported, "a udp network needs the addresses of both ends")
	}
	family := "udp6"
	if cfg.Local.Addr().Is4() {
		family = "udp4"
	}
	if cfg.Local.Addr().Is4() != cfg.Address.Addr().Is4() {
		return nil, virerr.In(virerr.Network, libvirt.ErrConfigUnsupported,
			"the two ends of a udp network, %s and %s, are of different families", cfg.Local, cfg.Address)
	}
	conn, err := net.ListenUDP(family, net.UDPAddrFromAddrPort(cfg.Local))
	if err != nil {
		return nil, failure("listen on", cfg.Local, err)
	}
	// Nobody but the peer may put frames into the guest's network.
	return &datagrams{receiver: conn, sender: conn, to: cfg.Address, from: cfg.Address}, nil
}

// openMcast joins a group. Members on the same host hear each other, as QEMU's
// do, and so does the sender itself.
func openMcast(cfg Config) (io.ReadWriteCloser, error) {
	group := cfg.Address
	if !group.Addr().Is4() || !group.Addr().IsMulticast() {
		return nil, virerr.In(virerr.Network, libvirt.ErrConfigUnsupported, "%s is not an IPv4 multicast group", group.Addr())
	}
	receiver, err := listenShared(group)
	if err != nil {
		return nil, failure("listen on", group, err)
	}
	d := &datagrams{receiver: receiver, to: group}
	if err := d.joinGroup(group, cfg.Local.Addr()); err != nil {
		receiver.Close()
		return nil, failure("join the group", group, err)
	}
	return d, nil
}

// listenShared listens on a group's address, and on no other of that port, as
// others may, too. Package net would listen on all addresses.
func listenShared(at netip.AddrPort) (*net.UDPConn, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "group")
	defer file.Close() // FilePacketConn takes a copy
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return nil, err
	}
	// Only what came in by the interface that is joined.
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_ALL, 0); err != nil {
		return nil, err
	}
	if err := unix.Bind(fd, sockaddr(at)); err != nil {
		return nil, err
	}
	conn, err := net.FilePacketConn(file)
	if err != nil {
		return nil, err
	}
	udp, ok := conn.(*net.UDPConn)
	if !ok {
		conn.Close()
		return nil, fmt.Errorf("%T is no UDP socket", conn)
	}
	return udp, nil
}

// joinGroup makes the receiver a member, and the sender.
func (d *datagrams) joinGroup(group netip.AddrPort, local netip.Addr) error {
	if !local.IsValid() || local.IsUnspecified() {
		var err error
		if local, err = sourceFor(group); err != nil {
			return err
		}
	}
	if !local.Is4() {
		return fmt.Errorf("%s is not an IPv4 address of the host", local)
	}
	member := &unix.IPMreq{Multiaddr: group.Addr().As4(), Interface: local.As4()}
	err := withSocket(d.receiver, func(fd int) error {
		return unix.SetsockoptIPMreq(fd, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP, member)
	})
	if err != nil {
		return err
	}
	if d.sender, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(local, 0))); err != nil {
		return err
	}
	d.own = d.sender.LocalAddr().(*net.UDPAddr).AddrPort()
	d.own = netip.AddrPortFrom(d.own.Addr().Unmap(), d.own.Port())
	err = withSocket(d.sender, func(fd int) error {
		if err := unix.SetsockoptInet4Addr(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_IF, local.As4()); err != nil {
			return err
		}
		return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_LOOP, 1)
	})
	if err != nil {
		d.sender.Close()
	}
	return err
}

// sourceFor is the host's address that it would send from.
func sourceFor(group netip.AddrPort) (netip.Addr, error) {
	probe, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(group))
	if err != nil {
		return netip.Addr{}, err
	}
	defer probe.Close()
	return probe.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(), nil
}

func withSocket(conn *net.UDPConn, use func(fd int) error) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = use(int(fd)) }); err != nil {
		return err
	}
	return failed
}

// Read returns the next frame of somebody else.
func (d *datagrams) Read(frame []byte) (int, error) {
	for {
		n, from, err := d.receiver.ReadFromUDPAddrPort(frame)
		if err != nil {
			if isRefusal(err) {
				continue
			}
			return 0, err
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		if from == d.own || d.from.IsValid() && from != d.from {
			continue
		}
		return n, nil
	}
}

// isRefusal reports whether an error only says that a peer is not there now.
func isRefusal(err error) bool {
	return isErrno(err, syscall.ECONNREFUSED, syscall.EHOSTUNREACH, syscall.ENETUNREACH)
}

// Write sends a frame. One that a datagram cannot carry is an error.
func (d *datagrams) Write(frame []byte) (int, error) {
	return writeNow(d.sender, func(fd int) error {
		return unix.Sendto(fd, frame, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, sockaddr(d.to))
	}, len(frame))
}

// Close ends both sockets.
func (d *datagrams) Close() error {
	err := d.receiver.Close()
	if d.sender != d.receiver {
		d.sender.Close()
	}
	return err
}
