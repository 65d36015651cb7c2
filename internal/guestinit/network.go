package guestinit

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/server4"
	"github.com/vishvananda/netlink"
)

// device is the one interface that the init cares for: the guest's first.
const device = "vec0"

const (
	// askTime is how long one question for an address waits, askTries how
	// often it is asked: a network without DHCP delays the command by that.
	askTime  = 2 * time.Second
	askTries = 3
	// minRenewal keeps a lease of a moment from making the guest busy.
	minRenewal = 30 * time.Second
)

// network takes vec0 up with an address, a route and resolvers by DHCP, and
// renews them as long as the guest runs. A guest without it has no network. One
// that gets no address keeps the device up, and the error says why.
func network() error {
	vec, err := netlink.LinkByName(device)
	if err != nil {
		return nil // nothing to care for
	}
	if err := netlink.LinkSetUp(vec); err != nil {
		return fmt.Errorf("cannot take %s up: %w", device, err)
	}
	lease, err := ask()
	if err == nil {
		err = use(vec, lease)
	}
	if err != nil {
		return fmt.Errorf("%s has no address: %w", device, err)
	}
	go renew(vec, lease)
	return nil
}

// ask asks for a lease, over and over for a while.
func ask() (*dhcpv4.DHCPv4, error) {
	conn, err := server4.NewIPv4UDPConn(device, &net.UDPAddr{Port: dhcpv4.ClientPort})
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	hardware, err := net.InterfaceByName(device)
	if err != nil {
		return nil, err
	}
	var lease *dhcpv4.DHCPv4
	for range askTries {
		if lease, err = askOnce(conn, hardware.HardwareAddr); err == nil {
			return lease, nil
		}
	}
	return nil, err
}

// askOnce is one exchange of DHCP (RFC 2131, 3.1). The guest has no address by
// which it could be answered, so it asks for answers to all.
func askOnce(conn *net.UDPConn, mac net.HardwareAddr) (*dhcpv4.DHCPv4, error) {
	if err := conn.SetDeadline(time.Now().Add(askTime)); err != nil {
		return nil, err
	}
	hostname, _ := os.Hostname()
	own := dhcpv4.WithOption(dhcpv4.OptHostName(hostname))
	discover, err := dhcpv4.NewDiscovery(mac, dhcpv4.WithBroadcast(true), own)
	if err != nil {
		return nil, err
	}
	offer, err := exchange(conn, discover, dhcpv4.MessageTypeOffer)
	if err != nil {
		return nil, err
	}
	request, err := dhcpv4.NewRequestFromOffer(offer, dhcpv4.WithBroadcast(true), own)
	if err != nil {
		return nil, err
	}
	return exchange(conn, request, dhcpv4.MessageTypeAck)
}

// exchange sends a question and waits for its answer.
func exchange(conn *net.UDPConn, question *dhcpv4.DHCPv4, want dhcpv4.MessageType) (*dhcpv4.DHCPv4, error) {
	all := &net.UDPAddr{IP: net.IPv4bcast, Port: dhcpv4.ServerPort}
	if _, err := conn.WriteTo(question.ToBytes(), all); err != nil {
		return nil, err
	}
	packet := make([]byte, 1<<16)
	for {
		n, err := conn.Read(packet)
		if err != nil {
			return nil, fmt.Errorf("no DHCP server has answered: %w", err)
		}
		answer, err := dhcpv4.FromBytes(packet[:n])
		if err == nil && answer.TransactionID == question.TransactionID && answer.MessageType() == want {
			return answer, nil
		}
	}
}

// renew asks for the same again at half the time of each lease.
func renew(vec netlink.Link, lease *dhcpv4.DHCPv4) {
	for {
		time.Sleep(max(lease.IPAddressLeaseTime(time.Hour)/2, minRenewal))
		next, err := ask()
		if err != nil {
			continue // the network may come back
		}
		lease = next
		_ = use(vec, lease) // it has worked once
	}
}

// use gives vec what the lease says.
func use(vec netlink.Link, lease *dhcpv4.DHCPv4) error {
	address := &netlink.Addr{IPNet: &net.IPNet{IP: lease.YourIPAddr, Mask: lease.SubnetMask()}}
	if err := netlink.AddrReplace(vec, address); err != nil {
		return err
	}
	if routers := lease.Router(); len(routers) > 0 {
		route := &netlink.Route{LinkIndex: vec.Attrs().Index, Gw: routers[0]}
		if err := netlink.RouteReplace(route); err != nil {
			return fmt.Errorf("no route by %s: %w", routers[0], err)
		}
	}
	return writeResolvers(resolvConf(lease))
}

// resolvConf is a resolv.conf(5) of what the lease says.
func resolvConf(lease *dhcpv4.DHCPv4) []byte {
	var out bytes.Buffer
	if name := lease.DomainName(); name != "" && !strings.ContainsAny(name, "\n\r") {
		fmt.Fprintln(&out, "search", name)
	}
	for _, server := range lease.DNS() {
		fmt.Fprintln(&out, "nameserver", server)
	}
	return out.Bytes()
}

// writeResolvers replaces /etc/resolv.conf, which may be a link to a file of a
// service that does not run here.
func writeResolvers(text []byte) error {
	const name = "/etc/resolv.conf"
	if len(text) == 0 {
		return nil
	}
	if err := os.MkdirAll("/etc", 0o755); err != nil {
		return err
	}
	if info, err := os.Lstat(name); err == nil && !info.Mode().IsRegular() {
		if err := os.Remove(name); err != nil {
			return err
		}
	}
	return os.WriteFile(name, text, 0o644)
}
