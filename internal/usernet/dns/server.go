package dns

import (
	"context"
	"net"
)

// Server is a name server. Its methods may be called at the same time.
type Server struct{}

// New makes a server.
func New(cfg Config) *Server { return &Server{} }

// Configure gives the server new settings; queries in flight keep the old
// ones.
func (s *Server) Configure(cfg Config) {}

// ServeUDP answers queries that come on conn until ctx ends or conn fails, and
// closes conn.
func (s *Server) ServeUDP(ctx context.Context, conn net.PacketConn) error { return nil }

// ServeTCP answers queries over connections that listener accepts until ctx
// ends or listener fails, and closes listener.
func (s *Server) ServeTCP(ctx context.Context, listener net.Listener) error { return nil }
