package networkxml

import (
	"fmt"
)

// XML writes the network's document as libvirt does (virNetworkDefFormatBuf).
func (n *Network) XML() string {
	w := &writer{}
	w.element("network", []attr{{"ipv6", yes(n.GuestIPv6)}, {"trustGuestRxFilters", n.TrustGuestRxFilters}}, func() {
		w.text("name", n.Name)
		w.text("uuid", n.UUID.String())
		w.text("title", n.Title)
		w.text("description", n.Description)
		if n.Metadata != "" {
			w.out.WriteString("  <metadata>" + n.Metadata + "</metadata>\n")
		}
		n.writeForward(w)
		n.writeBridge(w)
		if n.MTU != 0 {
			w.empty("mtu", attr{"size", number(n.MTU)})
		}
		if n.MAC != "" {
			w.empty("mac", attr{"address", n.MAC})
		}
		if n.Domain.Name != "" {
			w.empty("domain", attr{"name", n.Domain.Name}, attr{"localOnly", n.Domain.LocalOnly})
		}
		n.DNS.write(w)
		n.VLAN.write(w)
		n.Bandwidth.write(w)
		if n.PortIsolated != "" {
			w.empty("port", attr{"isolated", n.PortIsolated})
		}
		for i := range n.IPs {
			n.IPs[i].write(w)
		}
		for _, r := range n.Routes {
			r.write(w)
		}
		for i := range n.PortGroups {
			n.PortGroups[i].write(w)
		}
	})
	return w.out.String()
}

func (n *Network) writeForward(w *writer) {
	f := &n.Forward
	if f.Mode == Isolated {
		return
	}
	attrs := []attr{{"mode", string(f.Mode)}}
	if f.PF == "" && len(f.Interfaces) > 0 {
		attrs = []attr{{"dev", f.Interfaces[0]}, {"mode", string(f.Mode)}}
	}
	if f.Mode == Hostdev {
		managed := No
		if f.Managed {
			managed = Yes
		}
		attrs = append(attrs, attr{"managed", managed})
	}
	hasRange := f.NATFirst.IsValid() || f.PortFirst != 0 || f.PortLast != 0
	if len(f.Interfaces) == 0 && f.PF == "" && f.Driver == "" && !hasRange && f.NATIPv6 == "" {
		w.empty("forward", attrs...)
		return
	}
	w.element("forward", attrs, func() {
		if f.Driver != "" {
			w.empty("driver", attr{"name", f.Driver})
		}
		f.writeNAT(w, hasRange)
		if f.PF != "" {
			w.empty("pf", attr{"dev", f.PF})
			return
		}
		for _, dev := range f.Interfaces {
			w.empty("interface", attr{"dev", dev})
		}
	})
}

func (f *Forward) writeNAT(w *writer, hasRange bool) {
	switch {
	case !hasRange && f.NATIPv6 == "":
	case !hasRange:
		w.empty("nat", attr{"ipv6", f.NATIPv6})
	default:
		w.element("nat", []attr{{"ipv6", f.NATIPv6}}, func() {
			if f.NATFirst.IsValid() {
				w.empty("address", attr{"start", address(f.NATFirst)}, attr{"end", address(f.NATLast)})
			}
			if f.PortFirst != 0 || f.PortLast != 0 {
				w.empty("port", attr{"start", fmt.Sprint(f.PortFirst)}, attr{"end", number(f.PortLast)})
			}
		})
	}
}

func (n *Network) writeBridge(w *writer) {
	b := n.Bridge
	virtual := n.Forward.Mode.Virtual()
	if !virtual && b.Name == "" && b.MACTable == "" {
		return
	}
	attrs := []attr{{"name", b.Name}, {"zone", b.Zone}}
	if virtual {
		stp := "on"
		if b.STPOff {
			stp = "off"
		}
		attrs = append(attrs, attr{"stp", stp}, attr{"delay", fmt.Sprint(b.Delay)})
	}
	w.empty("bridge", append(attrs, attr{"macTableManager", b.MACTable})...)
}

func (d *DNS) write(w *writer) {
	attrs := []attr{{"enable", d.Enable}, {"forwardPlainNames", d.ForwardPlainNames}}
	if len(d.Forwarders)+len(d.Hosts)+len(d.SRV)+len(d.TXT) == 0 {
		if d.Enable != "" || d.ForwardPlainNames != "" {
			w.empty("dns", attrs...)
		}
		return
	}
	w.element("dns", attrs, func() {
		for _, f := range d.Forwarders {
			w.empty("forwarder", attr{"domain", f.Domain}, attr{"addr", address(f.Address)})
		}
		for _, t := range d.TXT {
			w.tag("txt", []attr{{"name", t.Name}}, fmt.Sprintf(" value='%s'/>\n", attrEscaper.Replace(escaper.Replace(t.Value))))
		}
		for _, s := range d.SRV {
			w.empty("srv", attr{"service", s.Service}, attr{"protocol", s.Protocol}, attr{"domain", s.Domain},
				attr{"target", s.Target}, attr{"port", number(s.Port)}, attr{"priority", number(s.Priority)}, attr{"weight", number(s.Weight)})
		}
		for _, h := range d.Hosts {
			w.element("host", []attr{{"ip", address(h.Address)}}, func() {
				for _, name := range h.Names {
					w.text("hostname", name)
				}
			})
		}
	})
}

func (ip *IP) write(w *writer) {
	attrs := []attr{
		{"family", ip.Family}, {"address", address(ip.Address)}, {"netmask", address(ip.Netmask)},
		{"prefix", number(ip.Prefix)}, {"localPtr", ip.LocalPTR},
	}
	w.element("ip", attrs, func() {
		if ip.TFTPRoot != "" {
			w.empty("tftp", attr{"root", ip.TFTPRoot})
		}
		if ip.HasDHCP() {
			w.element("dhcp", nil, func() { ip.writeDHCP(w) })
		}
	})
}

func (ip *IP) writeDHCP(w *writer) {
	for _, r := range ip.Ranges {
		r.Lease.write(w, "range", attr{"start", address(r.First)}, attr{"end", address(r.Last)})
	}
	for _, h := range ip.Hosts {
		h.Lease.write(w, "host", attr{"mac", h.MAC}, attr{"id", h.ID}, attr{"name", h.Name}, attr{"ip", address(h.Address)})
	}
	if ip.BootFile != "" {
		w.empty("bootp", attr{"file", ip.BootFile}, attr{"server", address(ip.BootServer)})
	}
}

// write writes the element name with l in it, or empty when l is nil.
func (l *Lease) write(w *writer, name string, attrs ...attr) {
	if l == nil {
		w.empty(name, attrs...)
		return
	}
	w.element(name, attrs, func() {
		if l.Expiry == 0 {
			w.empty("lease", attr{"expiry", "0"})
			return
		}
		w.empty("lease", attr{"expiry", number(l.Expiry)}, attr{"unit", l.Unit})
	})
}

func (r *RouteEntry) write(w *writer) {
	prefix := ""
	if r.HasPrefix {
		prefix = fmt.Sprint(r.Prefix)
	}
	w.empty("route", attr{"family", r.Family}, attr{"address", address(r.Address)}, attr{"netmask", address(r.Netmask)},
		attr{"prefix", prefix}, attr{"gateway", address(r.Gateway)}, attr{"metric", number(r.Metric)})
}

func (g *PortGroup) write(w *writer) {
	attrs := []attr{{"name", g.Name}, {"default", yes(g.Default)}, {"trustGuestRxFilters", g.TrustGuestRxFilters}}
	w.element("portgroup", attrs, func() {
		g.VLAN.write(w)
		g.Bandwidth.write(w)
	})
}

func (v *VLAN) write(w *writer) {
	if v == nil {
		return
	}
	w.element("vlan", []attr{{"trunk", yes(v.Trunk)}}, func() {
		for _, tag := range v.Tags {
			mode := ""
			if tag == v.Native {
				mode = v.NativeMode
			}
			w.empty("tag", attr{"id", fmt.Sprint(tag)}, attr{"nativeMode", mode})
		}
	})
}

func (b *Bandwidth) write(w *writer) {
	if b == nil {
		return
	}
	w.element("bandwidth", nil, func() {
		b.Inbound.write(w, "inbound")
		b.Outbound.write(w, "outbound")
	})
}

func (r *Rate) write(w *writer, name string) {
	if r != nil && r.Average != 0 {
		w.empty(name, attr{"average", number(r.Average)}, attr{"peak", number(r.Peak)}, attr{"burst", number(r.Burst)})
	}
}
