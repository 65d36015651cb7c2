package dns

import (
	"context"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/netutil"
	"golang.org/x/sync/singleflight"
)

// maxConns bounds the TCP connections of a listener.
const maxConns = 64

// udpSize is the longest answer over UDP, in bytes: what passes every network
// without fragments.
const udpSize = 1232

// Server is a name server. Its methods may be called at the same time.
type Server struct {
	zone     atomic.Pointer[zone]
	host     *hostResolvers
	inFlight *limit
	// same joins queries for the same thing. It also ends loops: a query
	// that comes back to this server waits for itself until it times out.
	same singleflight.Group
	// lastGood is the resolver that answered last.
	lastGood atomic.Pointer[string]
}

// New makes a server.
func New(cfg Config) *Server {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	s := &Server{host: newHostResolvers(cfg), inFlight: newLimit()}
	s.zone.Store(newZone(cfg))
	return s
}

// Configure gives the server new settings; queries in flight keep the old
// ones. Name, ResolvConf and Log are not changed.
func (s *Server) Configure(cfg Config) { s.zone.Store(newZone(cfg)) }

// ServeUDP answers queries that come on conn until ctx ends or conn fails, and
// closes conn.
func (s *Server) ServeUDP(ctx context.Context, conn net.PacketConn) error {
	return serve(ctx, &dns.Server{PacketConn: conn, UDPSize: dns.DefaultMsgSize, Handler: s.handler(ctx, "udp")})
}

// ServeTCP answers queries over connections that listener accepts until ctx
// ends or listener fails, and closes listener.
func (s *Server) ServeTCP(ctx context.Context, listener net.Listener) error {
	return serve(ctx, &dns.Server{Listener: netutil.LimitListener(listener, maxConns), Handler: s.handler(ctx, "tcp")})
}

// serve runs the server until it fails or ctx ends, which is no error.
func serve(ctx context.Context, server *dns.Server) error {
	var stop func() bool
	server.NotifyStartedFunc = func() {
		stop = context.AfterFunc(ctx, func() {
			// The error says only that the server has failed already.
			_ = server.Shutdown()
		})
	}
	err := server.ActivateAndServe()
	if stop != nil {
		stop()
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// handler answers the queries of one protocol, "udp" or "tcp".
func (s *Server) handler(ctx context.Context, network string) dns.Handler {
	return dns.HandlerFunc(func(w dns.ResponseWriter, query *dns.Msg) {
		out := s.answer(ctx, query, network, client(w.RemoteAddr()))
		fit(out, query, network)
		// A guest that is gone does not want the answer.
		_ = w.WriteMsg(out)
	})
}

// client tells apart who asks: the address without the port.
func client(a net.Addr) string {
	if a == nil {
		return ""
	}
	host, _, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	return host
}

// answer makes the answer to a query of one question.
func (s *Server) answer(ctx context.Context, query *dns.Msg, network, from string) *dns.Msg {
	if refusal := check(query); refusal != nil {
		return refusal
	}
	z := s.zone.Load()
	if out := z.answer(query, time.Now()); out != nil {
		return out
	}
	if !s.inFlight.enter(from) {
		return reply(query, dns.RcodeRefused)
	}
	defer s.inFlight.leave(from)
	return s.forward(ctx, z, query, network)
}

// check refuses what is no question that could be answered.
func check(query *dns.Msg) *dns.Msg {
	if query.Opcode != dns.OpcodeQuery {
		return reply(query, dns.RcodeNotImplemented)
	}
	if len(query.Question) != 1 || query.Response {
		return reply(query, dns.RcodeFormatError)
	}
	if opt := query.IsEdns0(); opt != nil && opt.Version() != 0 {
		return reply(query, dns.RcodeBadVers)
	}
	q := query.Question[0]
	if q.Qclass != dns.ClassINET || q.Qtype == dns.TypeAXFR || q.Qtype == dns.TypeIXFR {
		return reply(query, dns.RcodeRefused)
	}
	return nil
}

// reply makes an answer without records.
func reply(query *dns.Msg, rcode int) *dns.Msg {
	out := new(dns.Msg)
	out.SetRcode(query, rcode)
	out.RecursionAvailable = true
	return out
}

// fit makes the answer one that the client understands and that is not longer
// than it takes.
func fit(out, query *dns.Msg, network string) {
	size := dns.MaxMsgSize
	if network == "udp" {
		size = dns.MinMsgSize
	}
	opt := query.IsEdns0()
	if opt != nil {
		out.SetEdns0(udpSize, opt.Do())
		if network == "udp" {
			size = min(max(int(opt.UDPSize()), dns.MinMsgSize), udpSize)
		}
	} else if out.Rcode > 0xf {
		out.Rcode = dns.RcodeServerFailure // the client has no room for it
	}
	out.Compress = true
	out.Truncate(size)
}
