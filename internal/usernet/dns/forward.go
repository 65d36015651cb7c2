package dns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

const (
	// patience is how long all resolvers together may take. Clients ask
	// again after 5 s, which joins the query that is under way.
	patience = 9 * time.Second
	// oneTry is how long one resolver may take before the next is asked.
	oneTry = 2 * time.Second
	// rounds is how often each is asked.
	rounds = 2
)

// forward asks resolvers. When none answers the answer is SERVFAIL.
func (s *Server) forward(ctx context.Context, z *zone, query *dns.Msg, network string) *dns.Msg {
	got, err, _ := s.same.Do(flightKey(query, network), func() (any, error) {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		return s.ask(ctx, s.resolvers(z, query.Question[0].Name), question(query), network)
	})
	if err != nil {
		return reply(query, dns.RcodeServerFailure)
	}
	out := got.(*dns.Msg).Copy()
	out.Id = query.Id
	out.Question = query.Question
	out.RecursionDesired = query.RecursionDesired
	out.RecursionAvailable = true
	out.Extra = slices.DeleteFunc(out.Extra, func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeOPT })
	return out
}

// flightKey is the same for queries that have the same answer.
func flightKey(query *dns.Msg, network string) string {
	q, opt := query.Question[0], query.IsEdns0()
	return fmt.Sprint(dns.CanonicalName(q.Name), " ", q.Qtype, network,
		query.RecursionDesired, query.CheckingDisabled, query.AuthenticatedData, opt != nil, opt != nil && opt.Do())
}

// question is a new query of our own for what a guest asks: nothing else of
// what it sent leaves the network.
func question(query *dns.Msg) *dns.Msg {
	m := new(dns.Msg)
	m.Id = dns.Id()
	m.Question = slices.Clone(query.Question)
	m.RecursionDesired = query.RecursionDesired
	m.CheckingDisabled = query.CheckingDisabled
	m.AuthenticatedData = query.AuthenticatedData
	if opt := query.IsEdns0(); opt != nil {
		m.SetEdns0(udpSize, opt.Do())
	}
	return m
}

// resolvers are whom to ask for a name: the forwarders of the longest domain
// that it is in, or the host's.
func (s *Server) resolvers(z *zone, name string) []string {
	var out []string
	longest := -1
	host := false
	for _, f := range z.Forwarders {
		domain := dns.CanonicalName(f.Domain)
		labels := dns.CountLabel(domain)
		if !dns.IsSubDomain(domain, dns.CanonicalName(name)) || labels < longest {
			continue
		}
		if labels > longest {
			out, longest, host = nil, labels, false
		}
		if f.Address.Addr().IsValid() {
			out = append(out, withPort(f.Address).String())
		} else {
			host = true
		}
	}
	if longest < 0 || host {
		out = append(out, s.host.get()...)
	}
	return out
}

func withPort(a netip.AddrPort) netip.AddrPort {
	if a.Port() == 0 {
		return netip.AddrPortFrom(a.Addr(), 53)
	}
	return a
}

var errNoAnswer = errors.New("no resolver answers")

// ask asks one resolver after the other, the one that answered last first.
// One that has trouble of its own is believed only when no other knows better.
func (s *Server) ask(ctx context.Context, resolvers []string, m *dns.Msg, network string) (*dns.Msg, error) {
	var trouble *dns.Msg
	for range rounds {
		for _, resolver := range s.inOrder(resolvers) {
			out := askOne(ctx, resolver, m, network)
			switch {
			case ctx.Err() != nil:
				return nil, ctx.Err()
			case out == nil:
			case out.Rcode == dns.RcodeSuccess || out.Rcode == dns.RcodeNameError:
				s.lastGood.Store(&resolver)
				return out, nil
			default:
				trouble = out
			}
		}
		if trouble != nil {
			return trouble, nil
		}
	}
	return nil, errNoAnswer
}

// inOrder puts the resolver that answered last first.
func (s *Server) inOrder(resolvers []string) []string {
	last := s.lastGood.Load()
	if last == nil || !slices.Contains(resolvers, *last) {
		return resolvers
	}
	out := []string{*last}
	for _, r := range resolvers {
		if r != *last {
			out = append(out, r)
		}
	}
	return out
}

// askOne asks one resolver; nil is no answer.
func askOne(ctx context.Context, resolver string, m *dns.Msg, network string) *dns.Msg {
	ctx, cancel := context.WithTimeout(ctx, oneTry)
	defer cancel()
	client := &dns.Client{Net: network, Timeout: oneTry, UDPSize: udpSize}
	out, _, err := client.ExchangeContext(ctx, m, resolver)
	if err != nil || !isAnswerTo(out, m) {
		return nil
	}
	return out
}

func isAnswerTo(out, m *dns.Msg) bool {
	if !out.Response || len(out.Question) != 1 {
		return false
	}
	got, want := out.Question[0], m.Question[0]
	return strings.EqualFold(got.Name, want.Name) && got.Qtype == want.Qtype && got.Qclass == want.Qclass
}
