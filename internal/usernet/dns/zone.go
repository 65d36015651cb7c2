package dns

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// zone is what a server knows itself. It is immutable. Names in it are in
// lower case and end with a dot.
type zone struct {
	Config
	domain string // "" for none
	hosts  map[string][]netip.Addr
	names  map[netip.Addr]string
	texts  map[string][]dns.RR
	svcs   map[string][]dns.RR
}

func newZone(cfg Config) *zone {
	z := &zone{
		Config: cfg, hosts: map[string][]netip.Addr{}, names: map[netip.Addr]string{},
		texts: map[string][]dns.RR{}, svcs: map[string][]dns.RR{},
	}
	if cfg.Domain != "" {
		z.domain = dns.CanonicalName(cfg.Domain)
	}
	for _, h := range cfg.Hosts {
		z.addHost(h)
	}
	for _, text := range cfg.TXT {
		name := z.full(text.Name)
		z.texts[name] = append(z.texts[name], &dns.TXT{Hdr: header(name, dns.TypeTXT), Txt: chunks(text.Value)})
	}
	for _, service := range cfg.SRV {
		z.addService(service)
	}
	return z
}

// full is a configured name as it is sought.
func (z *zone) full(name string) string { return dns.CanonicalName(name) }

// qualified is a configured name with the domain if it is a plain one.
func (z *zone) qualified(name string) string {
	name = dns.CanonicalName(name)
	if dns.CountLabel(name) == 1 && z.domain != "" {
		return name + z.domain
	}
	return name
}

// addHost makes the names known, plain ones with the domain too.
func (z *zone) addHost(h Host) {
	for _, name := range h.Names {
		for _, known := range slices.Compact([]string{z.full(name), z.qualified(name)}) {
			if !slices.Contains(z.hosts[known], h.Address) {
				z.hosts[known] = append(z.hosts[known], h.Address)
			}
		}
		if z.names[h.Address] == "" {
			z.names[h.Address] = z.qualified(name)
		}
	}
}

func (z *zone) addService(s Service) {
	domain := z.domain
	if s.Domain != "" {
		domain = dns.CanonicalName(s.Domain)
	}
	name := strings.ToLower("_"+strings.TrimPrefix(s.Service, "_")+"._"+strings.TrimPrefix(s.Protocol, "_")) + "." + domain
	target := "."
	if s.Target != "" {
		target = z.qualified(s.Target)
	}
	z.svcs[name] = append(z.svcs[name], &dns.SRV{
		Hdr: header(name, dns.TypeSRV), Priority: s.Priority, Weight: s.Weight, Port: s.Port, Target: target,
	})
}

// chunks parts a text into strings of the length that a record can have.
func chunks(text string) []string {
	const longest = 255
	out := []string{}
	for len(text) > longest {
		out = append(out, escape(text[:longest]))
		text = text[longest:]
	}
	return append(out, escape(text))
}

// escape keeps package dns from reading a backslash as the start of an escape.
func escape(text string) string { return strings.ReplaceAll(text, `\`, `\\`) }

// header is of records of this zone. What guests are called may change at any
// time, so nobody keeps it.
func header(name string, kind uint16) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: kind, Class: dns.ClassINET}
}

// answer answers what is known here, or must not be asked elsewhere; nil is
// for the resolvers.
func (z *zone) answer(query *dns.Msg, now time.Time) *dns.Msg {
	q := query.Question[0]
	name := dns.CanonicalName(q.Name)
	if a := reverseAddr(name); a.IsValid() {
		if out := z.reverse(query, a, now); out != nil {
			return out
		}
	}
	addresses := z.addresses(name, now)
	records := z.records(q, addresses)
	texts, services := z.texts[name], z.svcs[name]
	switch {
	case len(records) > 0 || len(addresses) > 0:
		return z.reply(query, dns.RcodeSuccess, records)
	case !z.isOurs(name):
		return nil
	case len(texts) > 0 || len(services) > 0:
		return z.reply(query, dns.RcodeSuccess, nil)
	default:
		return z.reply(query, dns.RcodeNameError, nil)
	}
}

// reply answers with the authority of the one who knows, in the client's own
// spelling of the name.
func (z *zone) reply(query *dns.Msg, rcode int, records []dns.RR) *dns.Msg {
	out := reply(query, rcode)
	out.Authoritative = true
	for _, rr := range records {
		rr = dns.Copy(rr)
		rr.Header().Name = query.Question[0].Name
		out.Answer = append(out.Answer, rr)
	}
	return out
}

// records are those that the question is for.
func (z *zone) records(q dns.Question, addresses []netip.Addr) []dns.RR {
	name := dns.CanonicalName(q.Name)
	var out []dns.RR
	wants := func(kind uint16) bool { return q.Qtype == kind || q.Qtype == dns.TypeANY }
	for _, a := range addresses {
		switch {
		case a.Is4() && wants(dns.TypeA):
			out = append(out, &dns.A{Hdr: header(q.Name, dns.TypeA), A: a.AsSlice()})
		case a.Is6() && wants(dns.TypeAAAA):
			out = append(out, &dns.AAAA{Hdr: header(q.Name, dns.TypeAAAA), AAAA: a.AsSlice()})
		}
	}
	if wants(dns.TypeTXT) {
		out = append(out, z.texts[name]...)
	}
	if wants(dns.TypeSRV) {
		out = append(out, z.svcs[name]...)
	}
	return out
}

// addresses are those of a name: the settings' before a guest's, so that no
// guest can take a name that is somebody's.
func (z *zone) addresses(name string, now time.Time) []netip.Addr {
	if known := z.hosts[name]; known != nil {
		return known
	}
	label, rest, _ := strings.Cut(name, ".")
	if z.Guests == nil || label == "" || (rest != "" && rest != z.domain) {
		return nil
	}
	return z.Guests.Addresses(label, now)
}

// isOurs reports whether nobody else is to be asked for a name.
func (z *zone) isOurs(name string) bool {
	switch {
	case z.LocalOnly:
		return true
	case z.NoPlainNames && dns.CountLabel(name) == 1:
		return true
	default:
		return z.DomainOnly && z.domain != "" && dns.IsSubDomain(z.domain, name)
	}
}
