package network

import (
	"net/netip"
	"path/filepath"
	"time"

	"virtumld/internal/netd"
	"virtumld/internal/netswitch"
	"virtumld/internal/networkxml"
	"virtumld/internal/usernet"
	"virtumld/internal/usernet/dhcp"
)

// defaultMTU is that of a network which is told none, in bytes.
const defaultMTU = 1500

// dir is the folder of a network's process. It has the uuid, since a socket's
// path may be 107 bytes long only and a name 251.
func (s *Networks) dir(spec Spec) string { return filepath.Join(s.cfg.StateDir, spec.UUID.String()) }

// leaseFile has a folder of its own, which belongs to the process's user.
func (s *Networks) leaseFile(spec Spec) string {
	return filepath.Join(s.cfg.LeaseDir, spec.UUID.String(), "leases.json")
}

// process is what a network's process has to know.
func (s *Networks) process(def *networkxml.Network) *netd.Spec {
	spec := Spec{Name: def.Name, UUID: def.UUID}
	p := &netd.Spec{Name: def.Name, Dir: s.dir(spec), User: s.cfg.User}
	if len(def.IPs) == 0 {
		return p // guests speak with each other only
	}
	p.Gateway = gateway(def)
	p.Gateway.LeaseFile = s.leaseFile(spec)
	if b := def.Bandwidth; b != nil {
		p.Inbound, p.Outbound = shape(b.Inbound), shape(b.Outbound)
	}
	return p
}

// shape is a <bandwidth> in bytes.
func shape(r *networkxml.Rate) netswitch.Shape {
	if r == nil {
		return netswitch.Shape{}
	}
	return netswitch.Shape{Average: r.Average << 10, Peak: r.Peak << 10, Burst: r.Burst << 10}
}

// gateway is the gateway of a network. One without a way out has its names and
// addresses all the same, but asks nobody outside, as in libvirt.
func gateway(def *networkxml.Network) *usernet.Config {
	isolated := def.Forward.Mode == networkxml.Isolated
	g := &usernet.Config{
		Name: def.Name, MAC: def.MAC, MTU: int(def.MTU), NAT: !isolated, Domain: def.Domain.Name,
	}
	if g.MTU == 0 {
		g.MTU = defaultMTU
	}
	for i := range def.IPs {
		ip := &def.IPs[i]
		g.Subnets = append(g.Subnets, usernet.Subnet{Gateway: ip.Gateway(), DHCP: addresses(ip, isolated)})
	}
	if def.DNS.Enable != networkxml.No {
		g.DNS = names(def)
		g.DNS.LocalOnly = isolated
	}
	return g
}

func addresses(ip *networkxml.IP, isolated bool) *usernet.DHCP {
	if !ip.HasDHCP() {
		return nil
	}
	d := &usernet.DHCP{NoRouter: isolated, BootFile: ip.BootFile}
	if ip.BootServer.IsValid() {
		d.BootServer = ip.BootServer.String()
	}
	for _, r := range ip.Ranges {
		d.Ranges = append(d.Ranges, usernet.Range{First: r.First, Last: r.Last, LeaseTime: leaseTime(r.Lease)})
	}
	for _, h := range ip.Hosts {
		d.Hosts = append(d.Hosts, usernet.Host{MAC: h.MAC, ID: h.ID, Name: h.Name, Address: h.Address, LeaseTime: leaseTime(h.Lease)})
	}
	return d
}

// leaseTime is 0 where the default is meant.
func leaseTime(l *networkxml.Lease) time.Duration {
	if l == nil {
		return 0
	}
	unit := map[string]time.Duration{"seconds": time.Second, "minutes": time.Minute, "hours": time.Hour}[l.Unit]
	if l.Expiry == 0 || l.Expiry > uint64(dhcp.Infinite/unit) {
		return dhcp.Infinite
	}
	return time.Duration(l.Expiry) * unit
}

func names(def *networkxml.Network) *usernet.DNS {
	d := &usernet.DNS{
		DomainOnly:   def.Domain.LocalOnly == networkxml.Yes,
		NoPlainNames: def.DNS.ForwardPlainNames == networkxml.No,
	}
	for _, h := range def.DNS.Hosts {
		d.Hosts = append(d.Hosts, usernet.DNSHost{Address: h.Address, Names: h.Names})
	}
	for _, t := range def.DNS.TXT {
		d.TXT = append(d.TXT, usernet.DNSText{Name: t.Name, Value: t.Value})
	}
	for _, r := range def.DNS.SRV {
		d.SRV = append(d.SRV, usernet.DNSService{
			Service: r.Service, Protocol: r.Protocol, Domain: r.Domain, Target: r.Target,
			Port: uint16(r.Port), Priority: uint16(r.Priority), Weight: uint16(r.Weight),
		})
	}
	for _, f := range def.DNS.Forwarders {
		forwarder := usernet.DNSForwarder{Domain: f.Domain}
		if f.Address.IsValid() {
			forwarder.Address = netip.AddrPortFrom(f.Address, 53)
		}
		d.Forwarders = append(d.Forwarders, forwarder)
	}
	return d
}
