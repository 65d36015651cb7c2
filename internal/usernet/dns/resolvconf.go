package dns

import (
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"

	"github.com/miekg/dns"
)

const (
	resolvConf = "/etc/resolv.conf"
	// maxResolvers bounds how many of the host's resolvers are asked.
	maxResolvers = 4
)

// hostResolvers are the resolvers of the host's resolver file, which is read
// again whenever it has changed.
type hostResolvers struct {
	path, network string
	port          string
	log           *slog.Logger

	mu      sync.Mutex
	seen    fs.FileInfo // nil when there was no file
	read    bool
	servers []string
}

func newHostResolvers(cfg Config) *hostResolvers {
	path := cfg.ResolvConf
	if path == "" {
		path = resolvConf
	}
	return &hostResolvers{path: path, network: cfg.Name, port: "53", log: cfg.Log}
}

// get returns the resolvers' addresses with ports.
func (h *hostResolvers) get() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	info, err := os.Stat(h.path)
	if err != nil {
		info = nil
	}
	if h.read && sameFile(h.seen, info) {
		return h.servers
	}
	h.seen, h.read = info, true
	h.servers = h.load()
	return h.servers
}

func sameFile(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

// load reads the file. Without any server in it the host itself asks its own
// loopback address (resolv.conf(5)).
func (h *hostResolvers) load() []string {
	var out []string
	config, err := dns.ClientConfigFromFile(h.path)
	if err != nil {
		h.log.Warn("the host's resolvers are not known; its loopback address is asked", "network", h.network, "error", err)
		config = &dns.ClientConfig{}
	}
	for _, server := range config.Servers {
		if _, err := netip.ParseAddr(server); err == nil && len(out) < maxResolvers {
			out = append(out, net.JoinHostPort(server, h.port))
		}
	}
	if len(out) == 0 {
		out = []string{net.JoinHostPort("127.0.0.1", h.port)}
	}
	return out
}
