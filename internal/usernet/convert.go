package usernet

import (
	"context"
	"fmt"
	"log/slog"

	"virtumld/internal/usernet/dhcp"
	"virtumld/internal/usernet/dns"
)

// dhcpConfig is what the view says to the DHCP server.
func (s *services) dhcpConfig(v *view) dhcp.Config {
	out := dhcp.Config{Name: v.cfg.Name, MAC: s.gateway.mac, MTU: v.mtu, Domain: v.cfg.Domain,
		DNS: v.cfg.DNS != nil, LeaseFile: v.cfg.LeaseFile, Log: slog.New(logHandler{log: s.gateway.log})}
	for _, n := range v.cfg.Subnets {
		subnet := dhcp.Subnet{Gateway: n.Gateway}
		if n.DHCP != nil {
			subnet.DHCP = dhcpSettings(n.DHCP)
		}
		out.Subnets = append(out.Subnets, subnet)
	}
	return out
}

func dhcpSettings(d *DHCP) *dhcp.Settings {
	out := &dhcp.Settings{LeaseTime: d.LeaseTime, NoRouter: d.NoRouter, BootFile: d.BootFile, BootServer: d.BootServer}
	for _, r := range d.Ranges {
		out.Ranges = append(out.Ranges, dhcp.Range(r))
	}
	for _, h := range d.Hosts {
		out.Hosts = append(out.Hosts, dhcp.Host(h))
	}
	return out
}

// dnsConfig is what the view says to the name server.
func (s *services) dnsConfig(v *view) dns.Config {
	out := dns.Config{Name: v.cfg.Name, Domain: v.cfg.Domain, Log: slog.New(logHandler{log: s.gateway.log})}
	if s.dhcp != nil {
		out.Guests = s.dhcp
	}
	for _, n := range v.subnets {
		out.Subnets = append(out.Subnets, n.prefix)
	}
	d := v.cfg.DNS
	out.LocalOnly = d.LocalOnly
	for _, h := range d.Hosts {
		out.Hosts = append(out.Hosts, dns.Host(h))
	}
	for _, t := range d.TXT {
		out.TXT = append(out.TXT, dns.Text(t))
	}
	for _, r := range d.SRV {
		out.SRV = append(out.SRV, dns.Service(r))
	}
	for _, f := range d.Forwarders {
		out.Forwarders = append(out.Forwarders, dns.Forwarder(f))
	}
	return out
}

// logHandler gives slog's records to the gateway's log function.
type logHandler struct {
	log  func(format string, args ...any)
	tail string
}

func (h logHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }

func (h logHandler) Handle(_ context.Context, r slog.Record) error {
	text := r.Message + h.tail
	r.Attrs(func(a slog.Attr) bool {
		text += fmt.Sprintf(" %s=%v", a.Key, a.Value)
		return true
	})
	h.log("%s", text)
	return nil
}

func (h logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	for _, a := range attrs {
		h.tail += fmt.Sprintf(" %s=%v", a.Key, a.Value)
	}
	return h
}

func (h logHandler) WithGroup(string) slog.Handler { return h }
